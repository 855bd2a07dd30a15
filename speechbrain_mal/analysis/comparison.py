"""Several systems on the same clips: their means, and differences to a control."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from speechbrain_mal.analysis.statistics import (
    anova,
    effect_size,
    holm,
    mean_interval,
    wilcoxon,
)
from speechbrain_mal.metrics.registry import HEADINGS

Scores = dict[str, dict[str, float]]  # column by clip; NaN where not scored


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
    systems: Mapping[str, Scores], control: str, untested: tuple[str, ...] = ("noisy",)
) -> tuple[list[Row], dict[str, dict[str, tuple[float, float]]]]:
    """Compare systems with one of them.

    Arguments
    ---------
    systems : mapping of str to dict
        Scores by system; the columns are those of the first.
    control : str
        The system that the others are compared with, on the clips that both have a
        score for.
    untested : tuple of str
        Systems that are shown, but belong to no test: that everything differs from the
        noisy input says nothing of the systems.

    Returns
    -------
    list of Row
        Column by column, in the order of the systems.
    dict of str to dict
        By column, what `statistics.anova` finds on the clips that all have a score
        for; empty for fewer than two systems or clips.

    Raises
    ------
    ValueError
        When the control is not among the systems.

    Example
    -------
    >>> one = {str(i): {"pesq": 2.0 + i % 3} for i in range(9)}
    >>> two = {str(i): {"pesq": 2.5 + i % 3} for i in range(9)}
    >>> rows, _ = compare({"one": one, "two": two}, "one")
    >>> rows[1].system, rows[1].difference, round(rows[1].p, 3)
    ('two', (0.5, 0.5, 0.5), 0.004)
    """
    if control not in systems:
        raise ValueError(f"The control {control!r} is none of {', '.join(systems)}.")
    columns = list(next(iter(next(iter(systems.values())).values()), {}))
    rows, analyses = [], {}
    for column in columns:
        table = {
            name: {
                clip: row[column]
                for clip, row in scores.items()
                if math.isfinite(row.get(column, math.nan))
            }
            for name, scores in systems.items()
        }
        for name, scores in table.items():
            row = Row(column, name, len(scores), mean_interval([*scores.values()]))
            rows.append(row)
            if name == control or name in untested:
                continue
            both = [clip for clip in scores if clip in table[control]]
            if not both:
                continue
            differences = np.array([scores[c] - table[control][c] for c in both])
            row.difference = mean_interval(differences)
            row.p = wilcoxon(differences)
            row.d = effect_size(differences)
        tested = [scores for name, scores in table.items() if name not in untested]
        common = set.intersection(*map(set, tested))
        if len(tested) > 1 and len(common) > 1:
            analyses[column] = anova(
                np.array(
                    [[scores[clip] for clip in sorted(common)] for scores in tested]
                )
            )
    tested = [row for row in rows if row.p is not None]
    for row, p in zip(tested, holm([row.p for row in tested]), strict=True):
        row.p = p
    return rows, analyses


def markdown(
    rows: list[Row], analyses: dict[str, dict[str, tuple[float, float]]], control: str
) -> str:
    """Return the comparison as Markdown: all means, then each column in full."""
    columns = list(dict.fromkeys(row.column for row in rows))
    systems = list(dict.fromkeys(row.system for row in rows))
    cells = {(row.system, row.column): row for row in rows}
    most = max(row.clips for row in rows)
    lines = table_head(["system", *(HEADINGS.get(c, c) for c in columns)])
    for system in systems:
        means = (_count(cells[system, column], most) for column in columns)
        lines.append(table_line([system, *means]))
    lines += [
        "",
        f"Differences are to {control}, on the clips that both have a score for: mean "
        "with its 95 % bootstrap interval, p of Wilcoxon's signed-rank test, corrected "
        "by Holm over all tests here, and Cohen's d of the paired differences.",
    ]
    for column in columns:
        lines += ["", f"### {HEADINGS.get(column, column)}", ""]
        lines += table_head(["system", "mean [95 %]", "difference [95 %]", "p", "d"])
        for system in systems:
            row = cells[system, column]
            line = [system, _interval(row.mean), "", "", ""]
            if row.difference is not None:
                p = _p(row.p).removeprefix("= ")
                line[2:] = [_interval(row.difference, "+"), p, f"{row.d:+.2f}"]
            lines.append(table_line(line))
        if column in analyses:
            tests = (
                f"{kind}: F = {f:.2f}, p {_p(p)}"
                for kind, (f, p) in analyses[column].items()
            )
            lines += ["", f"Analysis of variance, {'; '.join(tests)}."]
    return "\n".join(lines) + "\n"


def table_head(cells: list[str]) -> list[str]:
    """Return the head of a Markdown table, numbers to the right."""
    return [table_line(cells), table_line(["---", *["---:"] * (len(cells) - 1)])]


def table_line(cells: list[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _count(row: Row, most: int) -> str:
    return f"{row.mean[0]:.3f}" + (f" ({row.clips} clips)" if row.clips < most else "")


def _interval(values: tuple[float, float, float], sign: str = "") -> str:
    mean, low, high = (f"{value:{sign}.3f}" for value in values)
    return f"{mean} [{low}, {high}]"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
