"""A claim that holds in the scores is shown; one that doesn't is not."""

import functools

import numpy as np
import pandas as pd
import pytest
from made_scores import write_scores

from experiments.claims import NO_SCORES, NOT_SHOWN, OPPOSITE, Claim, judge

GAINS = {"control": 0.0, "better": 0.1, "little": 0.03, "same": 0.0, "worse": -0.1}


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Scores of two sets with the gains above; in `test`, `mixed` loses one seed."""
    folder, rng = tmp_path_factory.mktemp("scores"), np.random.default_rng(0)
    base, runs = rng.normal(3, 1, 40), {}
    for system, value in {**GAINS, "mixed": 0.1, "single": 0.1}.items():
        for seed in "1" if system == "single" else "123":
            gain = -value if (system, seed) == ("mixed", "3") else value
            noisy = base + 0.02 * rng.normal(size=40)
            values = np.stack([noisy + gain, noisy - gain], 1)
            runs[f"first/test/{system}/{seed}"] = values
    scores = write_scores(folder, runs, ["pesq", "lsd"])
    scores.gain = functools.cache(scores.gain)  # of one claim each, so p stays
    return scores


def word(scores, rule, system, **further):
    entry = {"column": "pesq", "against": "control", "set": "test", **further}
    claim = Claim("x", rule, system, **entry)
    return judge([claim], scores, {"pesq": 0.05, "lsd": 0.05})[0].word


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("better", ["same sign", NOT_SHOWN, NOT_SHOWN, OPPOSITE, NOT_SHOWN]),
        ("not_worse", ["no worse", "no worse", "no worse", OPPOSITE, NOT_SHOWN]),
        ("unmoved", [NOT_SHOWN, "unmoved", "unmoved", OPPOSITE, NOT_SHOWN]),
    ],
)
@pytest.mark.parametrize("column", ["pesq", "lsd"])  # a score, and an error
def test_rules_on_clips(scores, rule, words, column):
    systems = ["better", "little", "same", "worse", "mixed"]
    assert [word(scores, rule, s, column=column) for s in systems] == words


def test_as_large_takes_both_intervals(scores):
    assert word(scores, "as_large", "better", size=0.1) == "as large"
    assert word(scores, "as_large", "better", size=0.18) == NOT_SHOWN
    assert word(scores, "as_large", "little", size=0.01) == NOT_SHOWN


def test_without_scores_nothing_is_said(scores):
    for system in ("wavlm", "single"):
        assert word(scores, "better", system) == NO_SCORES
    assert word(scores, "starts", "better") == NO_SCORES


def test_the_size_is_beside_the_sign(scores):
    claim = Claim("x", "better", "better", "pesq", "control", "test", size=0.4)
    (verdict,) = judge([claim], scores, {"pesq": 0.05})
    assert verdict.gain.mean / claim.size == pytest.approx(0.25, abs=0.02)
    assert "3 of 3 seeds" in verdict.reason


def test_own_output(scores):
    def curve(values, clips):
        return pd.DataFrame({"clips": clips, "pesq": values})

    whole = [10] * 5
    scores.curves.update(
        # Higher at first and at best, lower where no clip is lost any more.
        control={s: curve([1.0, 2.0, 2.5, 1.5, 1.2], whole) for s in "12"},
        better={s: curve([1.0, 2.1, 2.6, 1.4, 9.9], [*whole[1:], 9]) for s in "12"},
        climbs={s: curve([1.0, 2.0, 2.1, 2.2, 2.3], whole) for s in "12"},
    )
    rules = ("starts", "peaks", "settles", "rises_then_falls")
    found = [word(scores, rule, "better") for rule in rules]
    assert found == ["same sign", "same sign", OPPOSITE, "same course"]
    assert word(scores, "rises_then_falls", "climbs", against="") == NOT_SHOWN


def test_unknown_rule():
    with pytest.raises(ValueError, match="no rule 'best', but better, as_large"):
        Claim("x", "best", "better", "pesq")
