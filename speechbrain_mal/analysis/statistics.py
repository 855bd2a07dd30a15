"""What the scores of clips say about systems: intervals, paired tests, ANOVA.

Systems are compared on the same clips, so their differences clip by clip, `[clips]`,
are what is tested. It covers the choice of clips alone, never that of the training
seed.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_interval(
    values: np.ndarray, resamples: int = 10_000
) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % bootstrap interval, of percentiles.

    The bootstrap's samples are the same in every call. All three are NaN without
    values, and the mean with one.

    Example
    -------
    >>> [round(x) for x in mean_interval(np.arange(101.0))]  # 50 +- 1.96 * 29 / 10
    [50, 44, 56]
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        mean = values.mean().item() if len(values) else float("nan")
        return mean, mean, mean
    result = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, 1_000_000 // len(values)),  # bounds the memory
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return values.mean().item(), low.item(), high.item()


def wilcoxon(differences: np.ndarray) -> float:
    """Return the two-sided p of the Wilcoxon signed-rank test, 1 where all are zero.

    Example
    -------
    >>> wilcoxon(np.arange(1.0, 11.0)) < 0.01, wilcoxon(np.zeros(10))
    (True, 1.0)
    """
    if not np.any(differences):
        return 1.0
    return stats.wilcoxon(differences).pvalue.item()


def effect_size(differences: np.ndarray) -> float:
    """Return Cohen's d of paired samples, the mean over the standard deviation."""
    if len(differences) < 2 or not np.any(differences):
        return 0.0 if len(differences) else float("nan")
    with np.errstate(divide="ignore"):
        return float(np.mean(differences) / np.std(differences, ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p values of all tests reported together (Holm, 1979).

    Below 0.05 is then significant, however many tests there are.

    Example
    -------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    corrected = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    result = np.empty(len(p_values))
    result[order] = np.minimum(np.maximum.accumulate(corrected), 1.0)
    return result.tolist()


def anova(scores: np.ndarray) -> dict[str, tuple[float, float]]:
    """Test whether any of several systems differs from the others.

    Of scores `[systems, clips]`, at least two of each, the result is F and p of the
    `one-way` analysis of variance, which ignores that the clips are the same, and of
    that with `repeated measures`, which removes what the clips differ by (and assumes
    sphericity).

    Example
    -------
    >>> clips = np.random.default_rng(0).normal(size=50)
    >>> result = anova(np.stack([clips, clips + 0.1, clips + 0.2 * (clips > 0)]))
    >>> result["one-way"][1] > 0.05 > result["repeated measures"][1]
    True
    """
    systems, clips = scores.shape
    one_way = stats.f_oneway(*scores)
    between = clips * np.square(scores.mean(1) - scores.mean()).sum()
    residual = scores - scores.mean(1, keepdims=True) - scores.mean(0) + scores.mean()
    degrees = systems - 1, (systems - 1) * (clips - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = between / degrees[0] / (np.square(residual).sum() / degrees[1])
    return {
        "one-way": (float(one_way.statistic), float(one_way.pvalue)),
        "repeated measures": (float(ratio), float(stats.f.sf(ratio, *degrees))),
    }
