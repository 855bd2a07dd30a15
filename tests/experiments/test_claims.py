"""A claim that holds in the scores is reproduced; one that doesn't is not."""

import numpy as np
import pytest

from experiments.claims import (
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    Claim,
    judge,
)

GAINS = {"control": 0.0, "better": 0.1, "same": 0.0, "worse": -0.1}


def scores(gains, seeds="123", column="pesq", start=0):
    rng = np.random.default_rng(start)
    base = rng.normal(3, 1, 40)
    return {
        name: {
            seed: {
                str(c): {column: x}
                for c, x in enumerate(base + gain + 0.02 * rng.normal(size=40))
            }
            for seed in seeds
        }
        for name, gain in gains.items()
    }


def curve(values, clips=None):
    clips = clips or [10] * len(values)
    return [
        {"pass": float(i), "clips": float(n), "pesq": v}
        for i, (v, n) in enumerate(zip(values, clips, strict=True))
    ]


def verdict(sets=None, curves=None, **claim):
    options = {"text": "x", "column": "pesq", "against": "control", "set": "test"}
    return judge([Claim(**{**options, **claim})], sets or {}, curves or {})[0]


def words(rule, sets, **further):
    return {
        name: verdict(sets, rule=rule, system=name, **further).verdict
        for name in ("better", "same", "worse")
    }


def test_better():
    sets = {"test": scores(GAINS)}
    expected = dict(better=REPRODUCED, same=NOT_REPRODUCED, worse=NOT_REPRODUCED)
    assert words("better", sets) == expected
    opposite = [verdict(sets, rule="better", system=s).opposite for s in GAINS]
    assert opposite == [False, False, False, True]


def test_lower_is_better_where_the_score_is_an_error():
    sets = {"test": scores(GAINS, column="lsd")}
    found = {
        name: verdict(sets, rule="better", system=name, column="lsd")
        for name in ("better", "worse")
    }
    assert found["better"].verdict == NOT_REPRODUCED and found["better"].opposite
    assert found["worse"].verdict == REPRODUCED


def test_a_seed_with_the_other_sign_is_enough_against_better():
    sets = {"test": scores(GAINS)}
    low = scores({"better": -0.05})["better"]["3"]
    sets["test"]["better"]["3"] = low
    found = verdict(sets, rule="better", system="better")
    assert found.verdict == NOT_REPRODUCED and "2 of 3 seeds" in found.reason


def test_margins():
    sets = {"test": scores(GAINS)}
    expected = dict(better=NOT_REPRODUCED, same=REPRODUCED, worse=NOT_REPRODUCED)
    assert words("unmoved", sets, margin=0.05) == expected
    expected["better"] = REPRODUCED
    assert words("not_worse", sets, margin=0.05) == expected
    assert set(words("unmoved", sets, margin=0.2).values()) == {REPRODUCED}


def test_size_of_the_paper():
    sets = {"test": scores(GAINS)}
    for size, word in ((0.1, REPRODUCED), (0.18, NOT_REPRODUCED)):
        found = verdict(sets, rule="as_large", system="better", size=size)
        assert found.verdict == word


def test_share_of_the_paper_s_size():
    sets = {
        "test": scores(GAINS),
        "ood": scores({**GAINS, "better": 2 * GAINS["better"]}),
    }
    claim = {"system": "better", "size": 4 * GAINS["better"]}
    # Three deviations of the mean: 0.02 * sqrt(2) / sqrt(3 * 40 clips) / 0.4 each.
    found = verdict(sets, rule="better", **claim)
    assert found.share == pytest.approx(0.25, abs=0.02) and found.percent[-2:] == " %"
    # What this rule is about is the other set.
    found = verdict(sets, rule="everywhere", other_set="ood", margin=1, **claim)
    assert found.share == pytest.approx(0.5, abs=0.02)
    worse = verdict(sets, rule="better", system="worse", size=1)
    assert worse.share < 0 and worse.percent.startswith("-")
    assert verdict(sets, rule="better", system="better").percent == ""


def test_everywhere():
    for gain, word in ((0.1, REPRODUCED), (0.04, NOT_REPRODUCED)):
        sets = {"test": scores(GAINS), "ood": scores({**GAINS, "better": gain})}
        found = verdict(
            sets, rule="everywhere", system="better", other_set="ood", margin=0.03
        )
        assert found.verdict == word


def test_what_is_missing_is_not_testable():
    sets = {"test": scores(GAINS)}
    assert verdict(sets, rule="better", system="wavlm").verdict == NOT_TESTABLE
    assert verdict({}, rule="better", system="better").verdict == NOT_TESTABLE
    one = {"test": scores(GAINS, seeds="1")}
    found = verdict(one, rule="better", system="better")
    assert found.verdict == NOT_TESTABLE and "1 seed" in found.reason
    assert verdict(rule="starts", system="better").verdict == NOT_TESTABLE


def test_own_output():
    curves = {
        "control": {s: curve([1.0, 2.0, 2.5, 1.5, 1.2]) for s in "12"},
        # Higher at first and at best, lower where no clip is lost any more.
        "better": {
            s: curve([1.0, 2.1, 2.6, 1.4, 9.9], [10, 10, 10, 10, 9]) for s in "12"
        },
        "climbs": {s: curve([1.0, 2.0, 2.1, 2.2, 2.3]) for s in "12"},
    }
    found = {
        rule: verdict(curves=curves, rule=rule, system="better").verdict
        for rule in ("starts", "peaks", "settles", "degrades")
    }
    assert found == dict(
        starts=REPRODUCED,
        peaks=REPRODUCED,
        settles=NOT_REPRODUCED,
        degrades=REPRODUCED,
    )
    found = verdict(curves=curves, rule="degrades", system="climbs")
    assert found.verdict == NOT_REPRODUCED


def test_unknown_rule():
    with pytest.raises(ValueError, match="no rule 'best', but better, not_worse"):
        Claim("x", "best", "better", "pesq")
