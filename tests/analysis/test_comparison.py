"""Differences are paired, tests corrected, and nothing that failed is counted."""

import math

import numpy as np
import pytest

from speechbrain_mal.analysis.comparison import breakdown, compare, read_log
from speechbrain_mal.analysis.report import markdown


@pytest.fixture
def systems():
    """Three systems that differ by a tenth of what the clips differ by."""
    rng = np.random.default_rng(0)
    base = rng.normal(3, 1, 40)
    offsets = {"noisy": -1.0, "control": 0.0, "better": 0.1, "same": 0.0}
    return {
        name: {
            str(i): {"pesq": x + offset + 0.05 * rng.normal(), "lsd": 5 - x}
            for i, x in enumerate(base)
        }
        for name, offset in offsets.items()
    }


def rows_by_name(systems):
    rows, analyses = compare(systems, "control")
    return {(row.system, row.column): row for row in rows}, analyses


def test_paired_differences_show_what_means_hide(systems):
    rows, analyses = rows_by_name(systems)
    better, same = rows["better", "pesq"], rows["same", "pesq"]
    mean, low, high = better.difference
    assert low < 0.1 < high and high - low < 0.1
    assert better.mean[2] - better.mean[1] > 0.4  # the clips differ far more
    assert better.p < 0.001 < 0.05 < same.p
    assert better.d > 0.8 > abs(same.d)
    assert analyses["pesq"]["one-way"][1] > 0.05
    assert analyses["pesq"]["repeated measures"][1] < 0.001


def test_noisy_is_shown_and_not_tested(systems):
    rows, analyses = rows_by_name(systems)
    assert rows["noisy", "pesq"].difference is None
    _, without = rows_by_name({k: v for k, v in systems.items() if k != "noisy"})
    assert without == analyses
    systems["input"] = systems.pop("noisy")
    p = rows_by_name(systems)[0]["better", "pesq"].p
    assert p > rows["better", "pesq"].p  # one more test to correct for, in each column


def test_failed_clips_are_left_out_of_both_sides(systems):
    systems["better"]["0"]["pesq"] = math.nan
    systems["control"]["1"]["pesq"] = math.nan
    del systems["better"]["2"]
    rows, _ = rows_by_name(systems)
    kept = [str(i) for i in range(3, 40)]
    expected = [
        systems["better"][c]["pesq"] - systems["control"][c]["pesq"] for c in kept
    ]
    row = rows["better", "pesq"]
    assert row.difference[0] == pytest.approx(np.mean(expected))
    assert row.clips == 38
    table = markdown(*compare(systems, "control"), "control")
    assert "(38 clips)" in table and "(39 clips)" in table


def test_unknown_control(systems):
    with pytest.raises(ValueError, match="'other' is none of noisy, control"):
        compare(systems, "other")


def test_names_stay_names_in_the_tables(systems):
    systems["a|b<i>\x1b[1m"] = systems["same"]
    table = markdown(*compare(systems, "control"), "control")
    assert "a\\|b&lt;i>\\x1b[1m" in table and "\x1b" not in table


@pytest.mark.parametrize("separator", [" ", "\t", ";", ", "])
def test_breakdown(systems, tmp_path, separator):
    log = tmp_path / "log.txt"
    lines = [f"{i} {'bus' if i % 2 else 'cafe'} {(i % 3) * 5}\n" for i in range(30)]
    log.write_text("\ufeff" + "".join(lines).replace(" ", separator), encoding="utf-8")
    facts = read_log(log)
    groups = {clip: fact["noise"] for clip, fact in facts.items()}
    means = breakdown(systems, groups)["pesq"]
    assert list(means) == ["bus", "cafe"]
    odd = [systems["same"][str(i)]["pesq"] for i in range(1, 30, 2)]
    assert means["bus"]["same"] == (pytest.approx(np.mean(odd)), 15)
    assert means["cafe"]["same"][1] == 15
    snrs = {clip: fact["SNR (dB)"] for clip, fact in facts.items()}
    assert list(breakdown(systems, snrs)["lsd"]) == ["0", "5", "10"]


@pytest.mark.parametrize("text", ["p232_001 bus\n", "p232_001 bus loud", "", "\n"])
def test_what_is_no_log_is_named(text, tmp_path):
    (tmp_path / "log.txt").write_text(text)
    with pytest.raises(ValueError, match="log.txt"):
        read_log(tmp_path / "log.txt")
