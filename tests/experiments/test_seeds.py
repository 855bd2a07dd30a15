"""Clips and seeds are kept apart, and only what both systems have is compared."""

import math

import numpy as np
import pytest

from experiments.seeds import correct, difference, seed_means, t_interval


def runs(seeds, offset, spread=0.0, clips=40):
    """Return scores by seed: clips differ by 1, seeds by `spread`."""
    base = np.random.default_rng(0).normal(3, 1, clips)
    rng = np.random.default_rng(round(1000 * offset) + 1)
    found = {}
    for i, seed in enumerate(seeds):
        noise = 0.05 * rng.normal(size=clips) + spread * (i - 1)
        scores = base + offset + noise
        found[seed] = {str(c): {"pesq": x} for c, x in enumerate(scores.tolist())}
    return found


def test_t_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        _, low, high = t_interval(rng.normal(size=3))
        covered += low <= 0 <= high
    assert 0.93 < covered / 1000 < 0.97  # three standard errors of 0.95
    mean, low, high = t_interval([2.0])
    assert mean == 2.0 and math.isnan(low) and math.isnan(high)


def test_seeds_that_differ_widen_one_interval_and_not_the_other():
    control = runs("123", 0.0)
    alike = difference(runs("123", 0.1), control, "pesq")
    apart = difference(runs("123", 0.1, spread=0.3), control, "pesq")
    assert apart.mean == pytest.approx(alike.mean, abs=1e-9)
    width = np.ptp(alike.over_clips)
    assert np.ptp(apart.over_clips) == pytest.approx(width, rel=1e-6)
    assert np.ptp(apart.over_seeds) > 10 * np.ptp(alike.over_seeds)
    assert alike.same_sign() == 3 and apart.same_sign() == 2


def test_only_common_seeds_and_clips_that_all_runs_scored():
    system, control = runs("123", 0.1), runs("134", 0.0)
    system["1"]["0"]["pesq"] = math.nan
    del control["3"]["1"]
    found = difference(system, control, "pesq")
    assert list(found.by_seed) == ["1", "3"] and found.clips == 38
    expected = np.mean(
        [
            system[s][str(c)]["pesq"] - control[s][str(c)]["pesq"]
            for s in "13"
            for c in range(2, 40)
        ]
    )
    assert found.mean == pytest.approx(expected)
    assert seed_means(system, "pesq")["1"] == pytest.approx(
        np.mean([system["1"][str(c)]["pesq"] for c in range(1, 40)])
    )
    assert difference(runs("1", 0.1), runs("2", 0.0), "pesq") is None
    assert difference(system, control, "nisqa_mos") is None


def test_p_is_corrected_for_all_that_is_reported():
    control = runs("123", 0.0)
    found = [difference(runs("123", x), control, "pesq") for x in (0.012, 0.1)]
    before = [entry.p for entry in found]
    correct(found)
    assert found[0].p == pytest.approx(before[0])  # the larger one: times 1
    assert found[1].p == pytest.approx(2 * before[1])
