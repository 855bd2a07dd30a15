"""Scores of many clips: a row a clip, failed ones named and left out of means."""

import csv
import json
import math
import os
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from speechbrain_mal.files import printable, write_text
from speechbrain_mal.metrics.registry import HEADINGS, METRICS, columns
from speechbrain_mal.metrics.text import from_cell, read_rows, to_cell


class ScoreTable:
    """Hold the scores of clips, of metrics named in `METRICS`.

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
    >>> table.add("copy", {"si_sdr": {"scores": {"si_sdr": math.inf}}})
    >>> table.add("silent", {"si_sdr": {"reason": "the clean clip is silent"}})
    >>> table.means(), table.scored("si_sdr"), table.infinite(), table.failures
    ({'si_sdr': 20.0}, 1, {'si_sdr': ['copy']}, ['silent: the clean clip is silent'])
    """

    def __init__(self, metrics: Iterable[str]):
        self.metrics = list(metrics)
        self.columns = columns(self.metrics)
        self.rows: dict[str, dict[str, float]] = {}
        self.failures: list[str] = []

    def add(self, clip: str, results: dict[str, dict]) -> None:
        """Add a clip's results: by metric, its `scores` or the `reason` of none."""
        found = [results[name] for name in self.metrics]
        row = self.rows[clip] = dict.fromkeys(self.columns, math.nan)
        for result in found:
            row.update(result.get("scores", {}))
        reasons = dict.fromkeys(r["reason"] for r in found if "reason" in r)
        self.failures += [printable(f"{clip}: {reason}") for reason in reasons]

    def scored(self, column: str) -> int:
        """Return how many clips have a finite score in a column: those of its mean."""
        return sum(math.isfinite(row[column]) for row in self.rows.values())

    def infinite(self) -> dict[str, list[str]]:
        """Return by column the clips of an infinite score: SI-SDR of a copy."""
        found: dict[str, list[str]] = {}
        for clip, row in self.rows.items():
            for column, score in row.items():
                if math.isinf(score):
                    found.setdefault(column, []).append(clip)
        return found

    def means(self) -> dict[str, float]:
        """Return each column's mean over the clips of a finite score; else NaN."""
        means = {}
        for name in self.metrics:
            weight = METRICS[name].weight
            for column in METRICS[name].columns:
                pairs = [
                    (row[column], row[weight] if weight and column != weight else 1)
                    for row in self.rows.values()
                    if math.isfinite(row[column])
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
            scores = ("" if math.isnan(row[c]) else row[c] for c in self.columns)
            writer.writerow([to_cell(clip), *scores])
        return file.getvalue()

    def markdown(self) -> str:
        """Return the means as a Markdown table, and below it what they leave out."""
        lines = ["| metric | mean | clips |", "| --- | ---: | ---: |"]
        for column, mean in self.means().items():
            lines.append(f"| {HEADINGS[column]} | {mean:.3f} | {self.scored(column)} |")
        lines += self.infinite_lines()
        if self.failures:
            lines += ["", "Not scored, and left out of that mean:", ""]
            lines += [f"* {failure}" for failure in self.failures]
        return "\n".join(lines) + "\n"

    def infinite_lines(self) -> list[str]:
        """Return lines of Markdown on infinite scores, which no mean holds."""
        lines = []
        for column, clips in self.infinite().items():
            names = ", ".join(map(printable, clips))
            lines += [
                "",
                f"{HEADINGS[column]} is infinite, and left out of the mean, of "
                f"{len(clips)} clip(s), equal to the clean speech: {names}.",
            ]
        return lines

    def write(self, folder: str | os.PathLike, **facts: object) -> None:
        """Write `scores.csv`, `scores.md` and `scores.json`, with further facts."""
        record = {
            **facts,
            "clips": len(self.rows),
            "means": self.means(),
            "scored": {column: self.scored(column) for column in self.columns},
            "infinite": self.infinite(),
            "failures": self.failures,
            "scores": self.rows,
        }
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "scores.csv", self.csv())
        write_text(folder / "scores.json", as_json(record))
        write_text(folder / "scores.md", self.markdown())


def as_json(content: object) -> str:
    """Return a value as JSON that every reader takes: NaN null, infinities as text."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def read_scores(path: str | os.PathLike) -> dict[str, dict[str, float]]:
    """Read a `scores*.csv`: column by clip, NaN where there is no score.

    A FileNotFoundError where there is none, a ValueError where it is no such table.
    """
    scores = {}
    for row in read_rows(path, "clip"):
        clip = from_cell(row.pop("clip"))
        try:
            scores[clip] = {name: float(v or "nan") for name, v in row.items()}
        except ValueError as error:
            raise ValueError(f"{printable(path)}: clip {clip!r}: {error}.") from error
    return scores
