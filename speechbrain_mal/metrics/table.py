"""Scores of many clips: one row a clip, failed clips named and left out of means."""

import csv
import math
import os
from collections.abc import Iterable
from pathlib import Path

import joblib
import numpy as np
from tqdm.auto import tqdm

from speechbrain_mal.metrics.pesq import pesq_wb
from speechbrain_mal.metrics.sdr import si_sdr
from speechbrain_mal.metrics.stoi import estoi

METRICS = {"pesq": pesq_wb, "estoi": estoi, "si_sdr": si_sdr}


class ScoreTable:
    """Collect clips, score them in processes, and hold the results.

    Arguments
    ---------
    metrics : iterable of str
        Names out of `METRICS`; for all of them higher is better.
    sample_rate : int
        Sampling rate of the clips in Hz.

    Raises
    ------
    ValueError
        When a metric is unknown.

    Example
    -------
    >>> table = ScoreTable(["si_sdr"], sample_rate=16000)
    >>> clean = np.sin(np.arange(16000) / 10)
    >>> table.add("good", clean + 0.1 * np.cos(np.arange(16000) / 10), clean)
    >>> table.add("silent", clean, 0 * clean)
    >>> table.score()
    >>> round(table.means()["si_sdr"]), table.failures
    (20, ['silent: SI-SDR: the clean clip is silent'])
    """

    def __init__(self, metrics: Iterable[str], sample_rate: int):
        self.metrics = list(metrics)
        unknown = set(self.metrics) - set(METRICS)
        if unknown:
            raise ValueError(f"No metric {sorted(unknown)}: choose from {[*METRICS]}.")
        self.sample_rate = sample_rate
        self.rows: dict[str, dict[str, float]] = {}
        self.failures: list[str] = []
        self._clips: list[tuple[str, np.ndarray, np.ndarray]] = []

    def add(self, clip: str, enhanced: np.ndarray, clean: np.ndarray) -> None:
        """Add a clip, both `[samples]`, to be scored."""
        self._clips.append((clip, np.asarray(enhanced), np.asarray(clean)))

    def score(self, jobs: int = 1, progressbar: bool = False) -> None:
        """Score what was added, in `jobs` processes (PESQ uses one core each)."""
        results = joblib.Parallel(n_jobs=jobs, return_as="generator")(
            joblib.delayed(_score_clip)(self.metrics, enhanced, clean, self.sample_rate)
            for _, enhanced, clean in self._clips
        )
        bar = tqdm(
            results, "scoring", len(self._clips), leave=False, disable=not progressbar
        )
        for (clip, *_), (scores, reasons) in zip(self._clips, bar, strict=True):
            self.rows[clip] = scores
            self.failures += [f"{clip}: {reason}" for reason in reasons]
        self._clips = []

    def means(self) -> dict[str, float]:
        """Return each metric's mean over the clips it could score."""
        means = {}
        for metric in self.metrics:
            scores = [row[metric] for row in self.rows.values()]
            scores = [score for score in scores if not math.isnan(score)]
            means[metric] = sum(scores) / len(scores) if scores else math.nan
        return means

    def write_csv(self, path: str | os.PathLike) -> None:
        """Write a row per clip; a failed score is an empty field."""
        partial = Path(f"{path}.partial")
        with open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["clip", *self.metrics])
            for clip, row in sorted(self.rows.items()):
                scores = [row[metric] for metric in self.metrics]
                writer.writerow([clip, *("" if math.isnan(s) else s for s in scores)])
        partial.replace(path)


def _score_clip(
    metrics: list[str], enhanced: np.ndarray, clean: np.ndarray, sample_rate: int
) -> tuple[dict[str, float], list[str]]:
    scores, reasons = {}, []
    for metric in metrics:
        try:
            scores[metric] = METRICS[metric](enhanced, clean, sample_rate)
        except ValueError as error:  # a clip the metric is not defined for
            scores[metric] = math.nan
            reasons.append(str(error))
    return scores, reasons
