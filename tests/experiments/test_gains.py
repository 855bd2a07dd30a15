"""Gains: clips, clusters and trainings are kept apart, and the page says what is so."""

import csv
import math
import re
from functools import cache

import numpy as np
import pytest
from conftest import ROOT
from made_scores import write_scores
from scipy import stats

from experiments.gains import Scores, clustered_mean, correct, t_interval

FOLDER = ROOT / "experiments" / "scores"


@pytest.fixture
def make(tmp_path):
    """Write scores: clips differ by 1, trainings by `spread`; return all of them."""
    base = np.random.default_rng(0).normal(3, 1, 40)

    def write(system, offset, seeds="123", spread=0.0, lost=(), column="pesq"):
        rng, runs = np.random.default_rng(round(abs(1000 * offset)) + 1), {}
        for i, seed in enumerate(seeds):
            values = base + offset + 0.05 * rng.normal(size=40) + spread * (i - 1)
            values[[clip for run, clip in lost if run == seed]] = np.nan
            runs[f"first/test/{system}/{seed}"] = values
        return write_scores(tmp_path, runs, [column])

    return write


def gain(scores, system, column="pesq"):
    return scores.gain("first", "test", system, "control", column)


def test_t_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    ends = [t_interval(rng.normal(size=3)) for _ in range(1000)]
    covered = sum(low <= 0 <= high for low, high in ends)
    assert 0.93 < covered / 1000 < 0.97  # three standard errors of 0.95
    assert all(map(math.isnan, t_interval([2.0])))


def test_the_clustered_interval_covers_where_that_of_clips_does_not():
    rng, covered, naive = np.random.default_rng(0), 0, 0
    noises, speakers = np.repeat(np.arange(11), 8), np.arange(88) % 28
    for _ in range(100):
        values = rng.normal(size=11)[noises] + 0.5 * rng.normal(size=88)
        (low, high), p = clustered_mean(values, np.stack([noises, speakers], 1))
        covered += low <= 0 <= high
        naive += stats.ttest_1samp(values, 0).pvalue > 0.05
        assert (p < 0.05) == (not low <= 0 <= high)
    assert covered > 88 and naive < 60  # three standard errors of 95; far from it
    assert clustered_mean(np.ones(4), np.zeros((4, 2)))[1] == 1.0


def test_trainings_that_differ_widen_one_interval_and_not_the_other(make):
    make("control", 0.0)
    make("alike", 0.1)
    scores = make("apart", 0.1, spread=0.3)
    alike, apart = gain(scores, "alike"), gain(scores, "apart")
    assert apart.mean == pytest.approx(alike.mean, abs=1e-9)
    assert apart.over_clips == pytest.approx(alike.over_clips, abs=1e-9)
    assert np.ptp(apart.over_trainings) > 10 * np.ptp(alike.over_trainings)
    assert alike.all_of_sign(1) and not apart.all_of_sign(1)


def test_only_common_trainings_and_clips_that_all_runs_scored(make):
    make("control", 0.0, seeds="134", lost={("3", 1)})
    scores = make("system", 0.1, lost={("1", 0)})
    found = gain(scores, "system")
    assert list(found.by_training) == ["1", "3"] and found.clips == 38
    assert scores.means("first", "test", "system", "pesq").keys() == set("123")
    assert gain(scores, "missing") is None
    assert gain(scores, "system", "nisqa_mos") is None


def test_a_gain_is_positive_where_an_error_falls(make):
    make("control", 0.0, column="lsd")
    assert gain(make("system", -0.1, column="lsd"), "system", "lsd").mean > 0.05


def test_both_rounds_count_each_training(make, tmp_path):
    make("control", 0.0)
    make("system", 0.1)
    (tmp_path / "rerun").symlink_to(tmp_path / "first")
    found = Scores(tmp_path).gain("both", "test", "system", "control", "pesq")
    assert len(found.by_training) == 6 and "rerun 1" in found.by_training


def test_p_is_corrected_for_all_that_is_reported(make):
    make("control", 0.0)
    make("little", 0.012)
    scores = make("much", 0.1)
    found = [gain(scores, "little"), gain(scores, "much")]
    before = [entry.p for entry in found]
    correct(found)
    assert found[0].p == pytest.approx(before[0])  # the larger one: times 1
    assert found[1].p == pytest.approx(2 * before[1])


# What follows reads the files with other code than the package's, from the formulas.


@cache
def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def column_of(path, column):
    return {row["clip"]: float(row[column]) for row in rows_of(path)}


def recomputed(kind, name, system, against, column):
    """Return mean, half of the interval over clips, and p, by sums over clusters."""
    about = {row["clip"]: row for row in rows_of(FOLDER / "clips.csv")}
    seeds = sorted(p.stem for p in (FOLDER / kind / name / system).glob("*.csv"))
    pairs = [
        [
            column_of(FOLDER / kind / name / who / f"{seed}.csv", column)
            for who in (system, against)
        ]
        for seed in seeds
    ]
    clips = sorted(pairs[0][0])
    values = {c: sum(a[c] - b[c] for a, b in pairs) / len(pairs) for c in clips}
    mean, found = sum(values.values()) / len(clips), []

    def variance(key):
        sums = {}
        for clip in clips:
            sums.setdefault(key(about[clip]), []).append(values[clip] - mean)
        n, groups = len(clips), len(sums)
        correction = groups / (groups - 1)
        return correction * sum(sum(x) ** 2 for x in sums.values()) / n**2, groups

    noise, noises = variance(lambda row: row["noise"])
    speaker, speakers = variance(lambda row: row["speaker"])
    cross, _ = variance(lambda row: (row["noise"], row["speaker"]))
    both = noise + speaker - cross, min(noises, speakers)
    for var, groups in ((noise, noises), (speaker, speakers), both):
        if var > 0:
            error, degrees = var**0.5, groups - 1
            p = 2 * stats.t.sf(abs(mean) / error, degrees)
            found.append((error * stats.t.ppf(0.975, degrees), p))
    half, p = max(found)
    return mean, half, p


def committed(*key):
    rows = rows_of(ROOT / "experiments/figures/gains.csv")
    names = ("round", "set", "against", "system", "score")
    return rows, next(r for r in rows if tuple(r[n] for n in names) == key)


@pytest.mark.parametrize(
    ("kind", "name", "system", "against", "column"),
    [
        ("first", "testset", "mal_dynamic", "continue", "nisqa_mos"),
        ("first", "oodset", "mal_dynamic", "continue", "dnsmos_bak"),
        ("first", "testset", "continue", "baseline", "si_sdr"),
        ("rerun", "oodset", "lr_0.001", "baseline", "nisqa_col"),
        ("rerun", "testset", "distillmos", "continue", "pesq"),
        ("rerun", "oodset", "remix", "baseline", "nisqa_mos"),
    ],
)
def test_committed_entries_follow_from_the_scores(kind, name, system, against, column):
    mean, half, _ = recomputed(kind, name, system, against, column)
    _, row = committed(kind, name, against, system, column)
    assert float(row["mean"]) == pytest.approx(mean, abs=2e-5)
    assert float(row["low_clips"]) == pytest.approx(mean - half, abs=2e-5)
    assert float(row["high_clips"]) == pytest.approx(mean + half, abs=2e-5)
    page = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    section = page.split(f"### {name}, {kind}: gains over {against}\n")[1]
    lines = [line for line in section.split("\n#")[0].splitlines() if "|" in line]
    cells = next(line for line in lines if line.startswith(f"| {system} |"))
    assert f"{mean:+.3f}" in cells.replace("*", "")


@pytest.mark.parametrize(
    ("name", "system", "column"),
    [
        ("testset", "mal_dynamic", "dnsmos_sig"),
        ("testset", "filterbank", "si_sdr"),
        ("oodset", "mse_feature", "dnsmos_bak"),
    ],
)
def test_committed_p_values_follow_from_the_scores(name, system, column):
    rows, row = committed("first", name, "continue", system, column)
    table = ("round", "set", "against")
    family = [r for r in rows if all(r[k] == row[k] for k in table)]
    p = {
        (r["system"], r["score"]): recomputed(
            "first", name, r["system"], "continue", r["score"]
        )[2]
        for r in family
    }
    # Holm: the largest of every smaller p, each times the number that are left.
    ordered = sorted(p.values())
    own = ordered.index(p[system, column])
    holm = max(value * (len(ordered) - i) for i, value in enumerate(ordered[: own + 1]))
    assert float(row["p_holm"]) == pytest.approx(min(1, holm), rel=5e-3)


@pytest.mark.parametrize("name", ["testset", "oodset"])
@pytest.mark.parametrize("system", ["own_frozen", "other_seed", "random"])
def test_the_decisive_table_follows_from_the_scores(name, system):
    mean, half, _ = recomputed("decisive", name, system, "continue", "nisqa_mos")
    page = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    rows = page.split(f"### {name}: over continue\n")[1].splitlines()
    cell = next(x for x in rows if x.startswith(f"| {system} |")).split("|")[4]
    assert [float(x) for x in re.findall(r"[-+][.0-9]+", cell)] == pytest.approx(
        [mean, mean - half, mean + half], abs=6e-4
    )
