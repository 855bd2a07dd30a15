"""Intervals that cover, tests that agree with other definitions."""

import numpy as np
import pytest
from scipy import stats

from speechbrain_mal.analysis.statistics import (
    anova,
    effect_size,
    holm,
    mean_interval,
    wilcoxon,
)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        mean, low, high = mean_interval(rng.normal(size=60), resamples=500)
        assert low < mean < high
        covered += low < 0 < high
    # 95 % of 200, four standard deviations of that number: sqrt(200 * .95 * .05) = 3
    assert 178 <= covered <= 199


def test_the_interval_is_the_same_every_time_and_of_few_clips_defined():
    values = np.random.default_rng(1).normal(size=30)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval([2.0]) == (2.0, 2.0, 2.0)
    assert all(np.isnan(mean_interval([])))
    assert mean_interval(np.full(5, 3.0)) == (3.0, 3.0, 3.0)


def test_wilcoxon_by_counting():
    # All of six differences are positive: 2 of 2^6 sign patterns are as extreme.
    assert wilcoxon(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)
    assert wilcoxon(-np.arange(1.0, 7.0)) == pytest.approx(2 / 64)


def test_holm_by_hand():
    # Sorted .01 .02 .04: times 3, 2, 1 is .03 .04 .04
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_effect_size():
    assert effect_size(np.array([-1.0, 0.0, 1.0])) == 0
    assert effect_size(np.zeros(4)) == 0
    assert effect_size(np.full(4, 0.5)) == np.inf


def test_anova_of_two_systems_is_the_t_test():
    scores = np.random.default_rng(0).normal(size=(2, 20))
    result = anova(scores)
    paired, unpaired = stats.ttest_rel(*scores), stats.ttest_ind(*scores)
    assert result["one-way"][1] == pytest.approx(unpaired.pvalue)
    assert result["repeated measures"][0] == pytest.approx(paired.statistic**2)
    assert result["repeated measures"][1] == pytest.approx(paired.pvalue)
