"""Scores of many clips: a row a clip, failed ones named and left out of means."""

import csv
import json
import math
import os
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from speechbrain_mal.metrics.registry import HEADINGS, METRICS, columns


class ScoreTable:
    """Hold the scores of clips.

    Arguments
    ---------
    metrics : iterable of str
        Names out of `METRICS`.

    Attributes
    ----------
    rows : dict of str to dict of str to float
        Column by clip; NaN where the clip could not be scored.
    failures : list of str
        The clips that could not, with the reason.

    Example
    -------
    >>> table = ScoreTable(["si_sdr"])
    >>> table.add("good", {"si_sdr": {"scores": {"si_sdr": 20.0}}})
    >>> table.add("silent", {"si_sdr": {"reason": "the clean clip is silent"}})
    >>> table.means(), table.failures
    ({'si_sdr': 20.0}, ['silent: the clean clip is silent'])
    """

    def __init__(self, metrics: Iterable[str]):
        self.metrics = list(metrics)
        self.columns = columns(self.metrics)
        self.rows: dict[str, dict[str, float]] = {}
        self.failures: list[str] = []

    def add(self, clip: str, results: dict[str, dict]) -> None:
        """Add a clip's results: by metric, its `scores` or the `reason` of none."""
        row = {}
        reasons: dict[str, None] = {}  # in order, and each once
        for name in self.metrics:
            scores = results[name].get("scores", {})
            for column in METRICS[name].columns:
                row[column] = scores.get(column, math.nan)
            if "reason" in results[name]:
                reasons[results[name]["reason"]] = None
        self.rows[clip] = row
        self.failures += [f"{clip}: {reason}" for reason in reasons]

    def scored(self, column: str) -> int:
        """Return how many clips have a score in a column."""
        return sum(not math.isnan(row[column]) for row in self.rows.values())

    def means(self) -> dict[str, float]:
        """Return each column's mean over the clips that could be scored."""
        means = {}
        for name in self.metrics:
            weight = METRICS[name].weight
            for column in METRICS[name].columns:
                pairs = [
                    (row[column], row[weight] if weight and column != weight else 1)
                    for row in self.rows.values()
                    if not math.isnan(row[column])
                ]
                total = sum(w for _, w in pairs)
                means[column] = (
                    sum(score * w for score, w in pairs) / total if total else math.nan
                )
        return means

    def csv(self) -> str:
        """Return a row per clip; a failed score is an empty field."""
        file = StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(["clip", *self.columns])
        for clip, row in self.rows.items():
            scores = [row[column] for column in self.columns]
            writer.writerow([clip, *("" if math.isnan(s) else s for s in scores)])
        return file.getvalue()

    def json(self, **facts: object) -> str:
        """Return means, counts, failures and rows as JSON, with further facts."""
        content = {
            **facts,
            "clips": len(self.rows),
            "means": self.means(),
            "scored": {column: self.scored(column) for column in self.columns},
            "failures": self.failures,
            "scores": self.rows,
        }
        return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"

    def markdown(self) -> str:
        """Return the means as a Markdown table, and the failures below it."""
        lines = ["| metric | mean | clips |", "| --- | ---: | ---: |"]
        for column, mean in self.means().items():
            lines.append(f"| {HEADINGS[column]} | {mean:.3f} | {self.scored(column)} |")
        if self.failures:
            lines += ["", "Not scored, and left out of that mean:", ""]
            lines += [f"* {failure}" for failure in self.failures]
        return "\n".join(lines) + "\n"

    def write(self, folder: str | os.PathLike, **facts: object) -> None:
        """Write `scores.csv`, `scores.json` and `scores.md` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "scores.csv", self.csv())
        write_atomically(folder / "scores.json", self.json(**facts))
        write_atomically(folder / "scores.md", self.markdown())


def write_atomically(path: str | os.PathLike, content: str) -> None:
    """Write a text file so that it is whole or as it was."""
    partial = Path(f"{path}.partial")
    try:
        partial.write_text(content, encoding="utf-8", newline="")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _finite(value: object) -> object:
    """Return a copy that JSON can hold: NaN as null, infinities as their names."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def read_scores(path: str | os.PathLike) -> dict[str, dict[str, float]]:
    """Read a `scores*.csv`: column by clip, NaN where there is no score.

    Raises
    ------
    FileNotFoundError
        When there is none.
    ValueError
        When it is no table of scores.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and "clip" not in rows[0]:
        raise ValueError(f"{path} has no column 'clip': it is no table of scores.")
    return {
        row.pop("clip"): {name: float(v or "nan") for name, v in row.items()}
        for row in rows
    }
