"""Several systems on the same clips: means, differences to a control, breakdowns."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechbrain_mal.analysis.statistics import (
    anova,
    effect_size,
    holm,
    mean_interval,
    wilcoxon,
)
from speechbrain_mal.files import printable
from speechbrain_mal.metrics.text import read_text

Scores = dict[str, dict[str, float]]  # column by clip; NaN where not scored
# Shown, but of no test: that all differ from it says nothing of the systems.
NOISY = "noisy"


@dataclass
class Row:
    """A system in one column: its mean, and its difference to the control.

    Intervals are `(mean, low, high)`; `p` is Holm-corrected over all rows of a
    comparison, and `d` is Cohen's d of the paired differences.
    """

    column: str
    system: str
    clips: int
    mean: tuple[float, float, float]
    difference: tuple[float, float, float] | None = None
    p: float | None = None
    d: float | None = None


def compare(
    systems: Mapping[str, Scores], control: str
) -> tuple[list[Row], dict[str, dict[str, tuple[float, float]]]]:
    """Compare systems with one of them, on the clips that both have a score for.

    Scores that are not finite are left out; a system named "noisy" is shown, and
    belongs to no test. The result is a `Row` for each column and system; and by column
    what `statistics.anova` finds on the clips that all have a score for, nothing for
    fewer than two systems or clips.

    Example
    -------
    >>> one = {str(i): {"pesq": 2.0 + i % 3} for i in range(9)}
    >>> two = {str(i): {"pesq": 2.5 + i % 3} for i in range(9)}
    >>> rows, _ = compare({"one": one, "two": two}, "one")
    >>> rows[1].system, rows[1].difference, round(rows[1].p, 3)
    ('two', (0.5, 0.5, 0.5), 0.004)
    """
    check_control(systems, control)
    rows, analyses = [], {}
    for column in _columns(systems):
        table = {name: _finite(scores, column) for name, scores in systems.items()}
        for name, scores in table.items():
            row = Row(column, name, len(scores), mean_interval([*scores.values()]))
            rows.append(row)
            both = [clip for clip in scores if clip in table[control]]
            if name not in (control, NOISY) and both:
                differences = np.array([scores[c] - table[control][c] for c in both])
                row.difference = mean_interval(differences)
                row.p = wilcoxon(differences)
                row.d = effect_size(differences)
        table.pop(NOISY, None)
        common = sorted(set.intersection(*map(set, table.values()))) if table else []
        if len(table) > 1 and len(common) > 1:
            scores = [[scores[clip] for clip in common] for scores in table.values()]
            analyses[column] = anova(np.array(scores))
    tested = [row for row in rows if row.p is not None]
    for row, p in zip(tested, holm([row.p for row in tested]), strict=True):
        row.p = p
    return rows, analyses


def check_control(systems: Mapping[str, object], control: str) -> None:
    """Raise ValueError where the control is not among the systems."""
    if control not in systems:
        raise ValueError(f"The control {control!r} is none of {', '.join(systems)}.")


def _columns(systems: Mapping[str, Scores]) -> list[str]:
    return list(next(iter(next(iter(systems.values())).values()), {}))


def _finite(scores: Scores, column: str) -> dict[str, float]:
    return {
        clip: row[column]
        for clip, row in scores.items()
        if math.isfinite(row.get(column, math.nan))
    }


def read_log(path: str | Path) -> dict[str, dict[str, str]]:
    """Read noise and SNR of every clip, as in VoiceBank-DEMAND's `log_testset.txt`.

    Its lines are `<clip> <noise> <SNR>`, with spaces, `,` or `;` between; ValueError
    names one that is not.

    Example
    -------
    >>> path = getfixture("tmp_path") / "log.txt"
    >>> _ = path.write_text("p232_001 bus 17.5")
    >>> read_log(path)
    {'p232_001': {'noise': 'bus', 'SNR (dB)': '17.5'}}
    """
    groups = {}
    for line in filter(str.strip, read_text(path).splitlines()):
        try:
            clip, noise, snr = re.split(r"[\s,;]+", line.strip())
            float(snr)
        except ValueError:
            raise ValueError(
                f"{printable(path)}: {line!r} is not '<clip> <noise> <SNR in dB>'."
            ) from None
        groups[clip] = {"noise": noise, "SNR (dB)": snr}
    if not groups:
        raise ValueError(f"{printable(path)} has no lines.")
    return groups


def breakdown(
    systems: Mapping[str, Scores], groups: Mapping[str, str]
) -> dict[str, dict[str, dict[str, tuple[float, int]]]]:
    """Return `{column: {group: {system: (mean, clips)}}}`.

    `groups` has the group of every clip, such as its noise; other clips are left out.
    Groups are in numerical, or else in alphabetical order.

    Example
    -------
    >>> scores = {"a": {"pesq": 1.0}, "b": {"pesq": 2.0}, "c": {"pesq": 4.0}}
    >>> breakdown({"x": scores}, {"a": "10", "b": "5", "c": "5"})
    {'pesq': {'5': {'x': (3.0, 2)}, '10': {'x': (1.0, 1)}}}
    """

    def mean(scores: Scores, group: str, column: str) -> tuple[float, int]:
        found = _finite(scores, column).items()
        values = [score for clip, score in found if groups.get(clip) == group]
        return sum(values) / len(values) if values else math.nan, len(values)

    return {
        column: {
            group: {
                name: mean(scores, group, column) for name, scores in systems.items()
            }
            for group in sorted(set(groups.values()), key=_order)
        }
        for column in _columns(systems)
    }


def _order(group: str) -> tuple[float, str]:
    try:
        return float(group), ""
    except ValueError:
        return math.inf, group
