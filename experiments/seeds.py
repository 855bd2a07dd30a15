"""Systems trained from several seeds: what of a difference holds for which others.

Two things vary, clips and trainings, and neither stands for the other:

* over clips: each clip's difference is averaged over the seeds first, and what is
  resampled and tested are these averages. It speaks of other clips with these runs;
* over seeds: each seed's difference is averaged over the clips first, and the interval
  is Student's t of these averages. It speaks of other trainings, on these clips. With
  three seeds it is 4.3 standard errors wide to each side.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from speechbrain_mal.analysis.statistics import holm, mean_interval, wilcoxon
from speechbrain_mal.metrics import read_scores

Table = dict[str, dict[str, float]]  # column by clip
Runs = dict[str, dict[str, Table]]  # scores by system and seed


@dataclass
class Difference:
    """A system's difference to another in one column, by clips and by seeds.

    Attributes
    ----------
    seeds, clips : int
        Those that both systems have.
    mean : float
        Over both.
    over_clips, over_seeds : (float, float)
        95 % intervals; NaN for fewer than two.
    by_seed : dict of str to float
        Each seed's mean.
    p : float
        Of Wilcoxon's signed-rank test over clips, as `correct` corrected it.
    """

    seeds: int
    clips: int
    mean: float
    over_clips: tuple[float, float]
    over_seeds: tuple[float, float]
    by_seed: dict[str, float]
    p: float

    def same_sign(self) -> int:
        """Return the number of seeds whose sign is that of the mean."""
        return sum(value * self.mean > 0 for value in self.by_seed.values())


def t_interval(
    values: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the mean, and Student's t interval of it.

    Arguments
    ---------
    values : sequence of float
        One a seed.
    confidence : float
        Share of intervals that cover, in (0, 1).

    Returns
    -------
    tuple of float
        Mean, lower and upper end; NaN ends for fewer than two values.

    Example
    -------
    >>> [round(x, 2) for x in t_interval([1.0, 2.0, 3.0])]  # 2 +- 4.30 / sqrt(3)
    [2.0, -0.48, 4.48]
    """
    values = np.asarray(values, dtype=np.float64)
    mean = values.mean().item() if len(values) else math.nan
    if len(values) < 2:
        return mean, math.nan, math.nan
    factor = stats.t.ppf((1 + confidence) / 2, len(values) - 1)
    half = float(factor * values.std(ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def seed_means(runs: Mapping[str, Table], column: str) -> dict[str, float]:
    """Return each seed's mean over the clips that have a score in a column.

    Example
    -------
    >>> seed_means({"1": {"a": {"pesq": 2.0}, "b": {"pesq": math.nan}}}, "pesq")
    {'1': 2.0}
    """
    means = {}
    for seed, table in runs.items():
        scores = [row.get(column, math.nan) for row in table.values()]
        scores = [score for score in scores if math.isfinite(score)]
        if scores:
            means[seed] = float(np.mean(scores))
    return means


def difference(
    system: Mapping[str, Table], control: Mapping[str, Table], column: str
) -> Difference | None:
    """Compare two systems, seed by seed and clip by clip.

    Arguments
    ---------
    system, control : mapping of str to dict
        Scores by seed.
    column : str
        The score.

    Returns
    -------
    Difference or None
        On the seeds that both have, and the clips that have a score in all of these
        runs; None where there are none.

    Example
    -------
    >>> control = {s: {str(c): {"pesq": c / 9} for c in range(9)} for s in "12"}
    >>> system = {s: {str(c): {"pesq": c / 9 + 0.1} for c in range(9)} for s in "12"}
    >>> found = difference(system, control, "pesq")
    >>> round(found.mean, 3), found.seeds, found.clips, found.same_sign()
    (0.1, 2, 9, 2)
    """
    pairs = {
        seed: (system[seed], control[seed])
        for seed in sorted(set(system) & set(control))
        if seed_means({seed: system[seed]}, column)
        and seed_means({seed: control[seed]}, column)
    }
    if not pairs:
        return None
    tables = [table for pair in pairs.values() for table in pair]
    clips = [
        clip
        for clip in tables[0]
        if all(
            math.isfinite(table.get(clip, {}).get(column, math.nan)) for table in tables
        )
    ]
    if not clips:
        return None
    values = np.array(
        [
            [one[clip][column] - other[clip][column] for clip in clips]
            for one, other in pairs.values()
        ]
    )
    by_clip, by_seed = values.mean(0), values.mean(1)
    mean, low, high = mean_interval(by_clip)
    return Difference(
        seeds=len(pairs),
        clips=len(clips),
        mean=mean,
        over_clips=(low, high) if len(clips) > 1 else (math.nan, math.nan),
        over_seeds=t_interval(by_seed)[1:],
        by_seed=dict(zip(pairs, by_seed.tolist(), strict=True)),
        p=wilcoxon(by_clip),
    )


def correct(differences: Sequence[Difference]) -> None:
    """Correct the p values of differences that are reported together (Holm)."""
    corrected = holm([entry.p for entry in differences])
    for entry, p in zip(differences, corrected, strict=True):
        entry.p = p


def read_runs(folder: Path) -> Runs:
    """Return the scores of a set: `<folder>/<system>/<seed>.csv`.

    Raises
    ------
    ValueError
        When a file is no table of scores.
    """
    return {
        place.name: {
            file.stem: read_scores(file) for file in sorted(place.glob("*.csv"))
        }
        for place in sorted(folder.glob("*"))
        if any(place.glob("*.csv"))
    }
