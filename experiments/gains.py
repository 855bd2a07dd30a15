"""Committed scores, and what one system is better by than another.

Two things vary, and neither stands for the other:

* clips share speakers and noises. A gain is averaged over the trainings first; the
  interval over clips and p are those of the mean of these averages, clustered by noise,
  by speaker and by both (Cameron, Gelbach & Miller, 2011): the widest of the three,
  with Student's t of one degree of freedom fewer than there are clusters. They speak of
  other clips, speakers and noises with these trainings;
* trainings of several seeds. A gain is averaged over the clips first; the interval is
  Student's t of these averages. It speaks of other trainings on these clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from speechbrain_mal.metrics.registry import LOWER_IS_BETTER

ROUNDS = ("first", "rerun")
BOTH = "both"  # rounds: each training of a seed is one of its own


@dataclass
class Gain:
    """What a system is better by than another in one score: positive is better."""

    by_training: dict[str, float]  # each one's mean over the clips
    clips: int  # that all trainings of both systems have a score for
    over_clips: tuple[float, float]  # 95 %, of the mean; NaN for fewer than two
    over_trainings: tuple[float, float]
    p: float  # that the mean over clips is zero, two-sided; `correct` corrects it

    @property
    def mean(self) -> float:
        """The mean over clips and trainings."""
        return float(np.mean(list(self.by_training.values())))

    def all_of_sign(self, sign: int) -> bool:
        """Return whether every training's mean has a sign, 1 or -1."""
        return all(sign * value > 0 for value in self.by_training.values())


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval of a mean; NaN for fewer than two values.

    Example
    -------
    >>> [round(x, 2) for x in t_interval([1.0, 2.0, 3.0])]  # 2 +- 4.30 / sqrt(3)
    [-0.48, 4.48]
    """
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def clustered_mean(
    values: np.ndarray, groups: np.ndarray
) -> tuple[tuple[float, float], float]:
    """Return the 95 % interval of a mean, and p that it is zero, of clustered values.

    `groups` are the numbers of each clip's clusters in two ways, `[clips, 2]`; values
    that are all the same have no interval, and p is 1.

    Example
    -------
    >>> alone = clustered_mean(np.arange(20.0), np.arange(20)[:, None] * [1, 1])
    >>> inside = clustered_mean(np.arange(20.0), np.arange(20)[:, None] // [1, 5])
    >>> alone[0][0] > inside[0][0]  # alike within each of four clusters
    True
    """
    if len(values) < 2 or not np.ptp(values):
        return (np.nan, np.nan), 1.0
    model = OLS(values, np.ones(len(values)))
    fits = [
        model.fit(cov_type="cluster", cov_kwds={"groups": by}, use_t=True)
        for by in (groups, groups[:, 0], groups[:, 1])
    ]
    # That by both is a difference of variances, which may come out below zero.
    fits = [fit for fit in fits if fit.cov_params().item() > 0]
    widest = max(fits, key=lambda fit: np.ptp(fit.conf_int()[0]))
    low, high = widest.conf_int()[0]
    return (float(low), float(high)), float(widest.pvalues[0])


def correct(gains: Sequence[Gain]) -> None:
    """Correct the p values of gains that are reported together (Holm)."""
    if gains:
        corrected = multipletests([gain.p for gain in gains], method="holm")[1]
        for gain, p in zip(gains, corrected, strict=True):
            gain.p = float(p)


class Scores:
    """The scores in a folder: `<round>/<set>/<system>/<seed>.csv`, and `clips.csv`.

    `curves` are the means by pass of systems that were fed their own output, by system
    and seed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        about = pd.read_csv(folder / "clips.csv", index_col="clip")
        self._groups = about[["noise", "speaker"]].apply(lambda x: x.factorize()[0])
        self._tables: dict[tuple[str, str, str], dict[str, pd.DataFrame]] = {}
        self.curves: dict[str, dict[str, pd.DataFrame]] = {}
        for path in sorted(folder.glob("*/*/*/*.csv")):
            kind, name, system = path.relative_to(folder).parts[:3]
            if name == "self_consistency":
                found, index = self.curves.setdefault(system, {}), "pass"
            else:
                found = self._tables.setdefault((kind, name, system), {})
                index = "clip"
            found[path.stem] = table = pd.read_csv(path, index_col=index)
            if "wer" in table:  # so that the mean is that of all words
                rates = table["wer"].clip(upper=100)  # a recogniser may repeat itself
                table["wer"] = rates * table["wer_words"] / table["wer_words"].mean()

    def runs(self, kind: str, name: str, system: str) -> dict[str, pd.DataFrame]:
        """Return a system's tables in a round or `BOTH`, by training, a row a clip."""
        if kind != BOTH:
            return self._tables.get((kind, name, system), {})
        return {
            f"{one} {seed}": table
            for one in ROUNDS
            for seed, table in self.runs(one, name, system).items()
        }

    def means(self, kind: str, name: str, system: str, column: str) -> dict[str, float]:
        """Return each training's mean over the clips that it has a score for."""
        found = self.runs(kind, name, system)
        means = {s: t[column].mean() for s, t in found.items() if column in t}
        return {seed: float(mean) for seed, mean in means.items() if np.isfinite(mean)}

    def gain(
        self, kind: str, name: str, system: str, against: str, column: str
    ) -> Gain | None:
        """Compare two systems, training by training and clip by clip.

        On the trainings that both have, and the clips that have a score in all of
        these; None where there are none.
        """
        ours, theirs = (self.runs(kind, name, s) for s in (system, against))
        gains = pd.DataFrame(
            {
                seed: ours[seed][column] - theirs[seed][column]
                for seed in ours
                if seed in theirs and column in ours[seed] and column in theirs[seed]
            }
        )
        gains = gains.dropna(axis="columns", how="all").dropna()
        if gains.empty:
            return None
        if column in LOWER_IS_BETTER:
            gains = -gains
        by_training: Mapping[str, float] = gains.mean().to_dict()
        groups = self._groups.loc[gains.index].to_numpy()
        interval, p = clustered_mean(gains.mean(axis="columns").to_numpy(), groups)
        trainings = t_interval(list(by_training.values()))
        return Gain(dict(by_training), len(gains), interval, trainings, p)
