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
from speechbrain_mal.metrics.registry import HEADINGS
from speechbrain_mal.metrics.text import read_text

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


def columns_of(systems: Mapping[str, Scores]) -> list[str]:
    """Return the columns of systems, those of the first one's first clip."""
    return list(next(iter(next(iter(systems.values())).values()), {}))


def compare(
    systems: Mapping[str, Scores], control: str, untested: tuple[str, ...] = ("noisy",)
) -> tuple[list[Row], dict[str, dict[str, tuple[float, float]]]]:
    """Compare systems with one of them.

    Arguments
    ---------
    systems : mapping of str to dict
        Scores by system; scores that are not finite are left out.
    control : str
        The system that the others are compared with, on the clips that both have a
        score for.
    untested : tuple of str
        Systems that are shown, but belong to no test: that everything differs from the
        noisy input says nothing of the systems.

    Returns
    -------
    tuple
        A list of `Row`, column by column, in the order of the systems; and by column
        what `statistics.anova` finds on the clips that all have a score for, nothing
        for fewer than two systems or clips.

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
    for column in columns_of(systems):
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
            both = [clip for clip in scores if clip in table[control]]
            if name == control or name in untested or not both:
                continue
            differences = np.array([scores[c] - table[control][c] for c in both])
            row.difference = mean_interval(differences)
            row.p = wilcoxon(differences)
            row.d = effect_size(differences)
        tested = [scores for name, scores in table.items() if name not in untested]
        common = sorted(set.intersection(*map(set, tested)))
        if len(tested) > 1 and len(common) > 1:
            analyses[column] = anova(
                np.array([[scores[clip] for clip in common] for scores in tested])
            )
    tested = [row for row in rows if row.p is not None]
    for row, p in zip(tested, holm([row.p for row in tested]), strict=True):
        row.p = p
    return rows, analyses


def check_control(systems: Mapping[str, object], control: str) -> None:
    """Raise ValueError where the control is not among the systems."""
    if control not in systems:
        raise ValueError(f"The control {control!r} is none of {', '.join(systems)}.")


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
    for line in read_text(path).splitlines():
        if not line.strip():
            continue
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
    systems: Mapping[str, Scores], groups: Mapping[str, str], column: str
) -> dict[str, dict[str, tuple[float, int]]]:
    """Return each system's mean of a score, and its clips, in every group.

    `groups` has the group of every clip, such as its noise; other clips are left out.
    The result is `{group: {system: (mean, clips)}}`, groups in numerical, or else in
    alphabetical order.

    Example
    -------
    >>> scores = {"a": {"pesq": 1.0}, "b": {"pesq": 2.0}, "c": {"pesq": 4.0}}
    >>> breakdown({"x": scores}, {"a": "10", "b": "5", "c": "5"}, "pesq")
    {'5': {'x': (3.0, 2)}, '10': {'x': (1.0, 1)}}
    """
    result: dict[str, dict[str, tuple[float, int]]] = {}
    for group in sorted(set(groups.values()), key=_order):
        result[group] = {}
        for name, scores in systems.items():
            values = [
                row[column]
                for clip, row in scores.items()
                if groups.get(clip) == group and math.isfinite(row[column])
            ]
            mean = sum(values) / len(values) if values else math.nan
            result[group][name] = mean, len(values)
    return result


def _order(group: str) -> tuple[float, str]:
    try:
        return float(group), ""
    except ValueError:
        return math.inf, group


def markdown(
    rows: list[Row], analyses: dict[str, dict[str, tuple[float, float]]], control: str
) -> str:
    """Return the comparison as Markdown: all means, then each column in full."""
    columns = list(dict.fromkeys(row.column for row in rows))
    cells = {(row.system, row.column): row for row in rows}
    systems = list(dict.fromkeys(row.system for row in rows))
    most = max(row.clips for row in rows)
    lines = table_head(["system", *(HEADINGS.get(c, c) for c in columns)])
    for system in systems:
        means = (_count(cells[system, column], most) for column in columns)
        lines.append(table_line([name_cell(system), *means]))
    lines += [
        "",
        f"Differences are to {name_cell(control)}, on the clips that both have a score "
        "for: mean with its 95 % bootstrap interval, p of Wilcoxon's signed-rank test, "
        "corrected by Holm over all tests here, and Cohen's d of the paired "
        "differences.",
    ]
    for column in columns:
        lines += ["", f"### {HEADINGS.get(column, column)}", ""]
        lines += table_head(["system", "mean [95 %]", "difference [95 %]", "p", "d"])
        for system in systems:
            row = cells[system, column]
            line = [name_cell(system), _interval(row.mean), "", "", ""]
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


def breakdown_markdown(
    means: Mapping[str, Mapping[str, Mapping[str, tuple[float, int]]]], key: str
) -> str:
    """Return tables of what `breakdown` returns, by column; `key` says by what."""
    lines = []
    for column, groups in means.items():
        systems = map(name_cell, next(iter(groups.values())))
        lines += ["", f"### {HEADINGS.get(column, column)} by {key}", ""]
        lines += table_head([key, "clips", *systems])
        for group, values in groups.items():
            if clips := max(count for _, count in values.values()):
                cells = (f"{mean:.3f}" for mean, _ in values.values())
                lines.append(table_line([name_cell(group), str(clips), *cells]))
    return "\n".join(lines) + "\n"


def table_head(cells: list[str]) -> list[str]:
    """Return the head of a Markdown table, numbers to the right."""
    return [table_line(cells), table_line(["---", *["---:"] * (len(cells) - 1)])]


def table_line(cells: list[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def name_cell(name: str) -> str:
    """Return a name as Markdown shows it, whatever it is."""
    return printable(name).replace("|", "\\|").replace("<", "&lt;")


def _count(row: Row, most: int) -> str:
    return f"{row.mean[0]:.3f}" + (f" ({row.clips} clips)" if row.clips < most else "")


def _interval(values: tuple[float, float, float], sign: str = "") -> str:
    mean, low, high = (f"{value:{sign}.3f}" for value in values)
    return f"{mean} [{low}, {high}]"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
