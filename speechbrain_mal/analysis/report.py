"""All that a comparison of systems leaves behind: tables, pictures, a page to hear."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from speechbrain_mal.analysis.comparison import (
    Row,
    Scores,
    breakdown,
    check_control,
    compare,
)
from speechbrain_mal.analysis.listening import listening_page
from speechbrain_mal.analysis.plots import plot_differences, plot_lines
from speechbrain_mal.files import printable, write_text
from speechbrain_mal.metrics import Clip, evaluate
from speechbrain_mal.metrics.registry import HEADINGS, versions
from speechbrain_mal.metrics.table import as_json
from speechbrain_mal.metrics.text import check_system

Log = Mapping[str, Mapping[str, str]]


def write_report(
    systems: Mapping[str, Sequence[Clip]],
    metrics: Sequence[str],
    control: str,
    folder: str | os.PathLike,
    options: dict[str, dict] | None = None,
    jobs: int = 1,
    log: Log | None = None,
    listen: int = 12,
    progressbar: bool = False,
    **facts: object,
) -> list[str]:
    """Score systems, compare them with one, and write what comes of it.

    Into the folder go `comparison.md` and `comparison.json`; the scores of every system
    under `scores`; `differences.png`; `by_*.png`, where there is a log; and
    `index.html` to listen on. A call that was stopped goes on where it was.

    Arguments
    ---------
    systems : mapping of str to sequence of Clip
        The same clips by every system; one named "noisy" is shown and not tested.
    metrics, options, jobs, progressbar
        As of `metrics.evaluate`, whose errors it has, too.
    control : str
        System that the others are compared with; a ValueError where there is none.
    folder : path
        Where to write; made if needed.
    log : mapping, optional
        What is known of the clips, as `read_log` returns it.
    listen : int
        Clips on the page, evenly spread; 0 for no page.
    **facts
        What else to record in `comparison.json`, such as the command.

    Returns
    -------
    list of str
        The clips that could not be scored, with system and reason.
    """
    check_control(systems, control)
    for name in systems:
        check_system(name)
    folder = Path(folder)
    tables = {}
    for name, clips in systems.items():
        place = folder / "scores" / name
        progress = place / "progress.jsonl"
        tables[name] = evaluate(clips, metrics, options, jobs, progress, progressbar)
        tables[name].write(place)
    scores = {name: table.rows for name, table in tables.items()}
    failures = [f"{name}: {x}" for name in tables for x in tables[name].failures]
    rows, analyses = compare(scores, control)
    text = "# Comparison\n\n" + markdown(rows, analyses, control)
    for name, table in tables.items():
        if lines := table.infinite_lines():
            text += "\n".join(["", f"{_cell(name)}:", *lines]) + "\n"
    if len(scores) > 1:
        plot_differences(rows, control, folder / "differences.png")
        text += "\n![Differences to the control](differences.png)\n"
    if log:
        text += _break_down(scores, log, folder)
    if failures:
        lines = "\n".join(f"* {failure}" for failure in failures)
        text += f"\n## Not scored, and left out of that mean\n\n{lines}\n"
    write_text(folder / "comparison.md", text)
    record = {
        **facts,
        "control": control,
        "versions": versions(metrics),
        "rows": [asdict(row) for row in rows],
        "anova": analyses,
        "infinite": {name: table.infinite() for name, table in tables.items()},
        "failures": failures,
    }
    write_text(folder / "comparison.json", as_json(record))
    if listen:
        audio = _audible(systems, scores, listen)
        page = listening_page(audio, scores, log or {}, "Listening comparison")
        write_text(folder / "index.html", page)
    return failures


def _break_down(scores: Mapping[str, Scores], log: Log, folder: Path) -> str:
    """Draw the means by every fact of the log, and return them as Markdown."""
    text = "\n## Breakdown\n"
    clips = next(iter(scores.values()))
    if unknown := [clip for clip in clips if clip not in log]:
        text += f"\nOf {len(unknown)} of {len(clips)} clips the log tells nothing.\n"
    for key in next(iter(log.values())):
        means = breakdown(scores, {clip: facts[key] for clip, facts in log.items()})
        picture = f"by_{key.split()[0].lower()}.png"
        curves, lines = {}, []
        for column, groups in means.items():
            curves[column] = {
                name: {group: values[name][0] for group, values in groups.items()}
                for name in scores
            }
            lines += ["", f"### {HEADINGS.get(column, column)} by {key}", ""]
            lines += _head([key, "clips", *map(_cell, scores)])
            for group, values in groups.items():
                if number := max(count for _, count in values.values()):
                    cells = (f"{mean:.3f}" for mean, _ in values.values())
                    lines.append(_line([_cell(group), str(number), *cells]))
        plot_lines(curves, key, folder / picture)
        text += "\n".join(lines) + f"\n\n![By {key}]({picture})\n"
    return text


def _audible(
    systems: Mapping[str, Sequence[Clip]], scores: Mapping[str, Scores], number: int
) -> dict[str, dict[str, Path]]:
    """Choose clips that every system has scores of, evenly; return their files."""
    files: dict[str, dict[str, Path]] = {}
    for name, clips in systems.items():
        for clip in clips:
            heard = not np.isnan([*scores[name][clip.name].values()]).all()
            if heard and isinstance(clip.enhanced, Path):
                files.setdefault(clip.name, {})[name] = clip.enhanced
    whole = [name for name, versions in files.items() if len(versions) == len(systems)]
    for clip in next(iter(systems.values())):
        if clip.name in whole and isinstance(clip.clean, Path) and clip.clean.exists():
            files[clip.name]["clean"] = clip.clean
    chosen = np.linspace(0, len(whole) - 1, min(number, len(whole))).round().astype(int)
    return {whole[i]: files[whole[i]] for i in chosen}


def markdown(
    rows: list[Row], analyses: dict[str, dict[str, tuple[float, float]]], control: str
) -> str:
    """Return what `compare` found as Markdown: all means, then each column in full."""
    columns = list(dict.fromkeys(row.column for row in rows))
    cells = {(row.system, row.column): row for row in rows}
    systems = list(dict.fromkeys(row.system for row in rows))
    most = max(row.clips for row in rows)
    lines = _head(["system", *(HEADINGS.get(c, c) for c in columns)])
    for system in systems:
        means = (_count(cells[system, column], most) for column in columns)
        lines.append(_line([_cell(system), *means]))
    lines += [
        "",
        f"Differences are to {_cell(control)}, on the clips that both have a score "
        "for: mean with its 95 % bootstrap interval, p of Wilcoxon's signed-rank test, "
        "corrected by Holm over all tests here, and Cohen's d of the paired "
        "differences.",
    ]
    for column in columns:
        lines += ["", f"### {HEADINGS.get(column, column)}", ""]
        lines += _head(["system", "mean [95 %]", "difference [95 %]", "p", "d"])
        for system in systems:
            row = cells[system, column]
            line = [_cell(system), _interval(row.mean), "", "", ""]
            if row.difference is not None:
                p = _p(row.p).removeprefix("= ")
                line[2:] = [_interval(row.difference, "+"), p, f"{row.d:+.2f}"]
            lines.append(_line(line))
        if column in analyses:
            tests = (
                f"{kind}: F = {f:.2f}, p {_p(p)}"
                for kind, (f, p) in analyses[column].items()
            )
            lines += ["", f"Analysis of variance, {'; '.join(tests)}."]
    return "\n".join(lines) + "\n"


def _head(cells: list[str]) -> list[str]:
    """Return the head of a Markdown table, numbers to the right."""
    return [_line(cells), _line(["---", *["---:"] * (len(cells) - 1)])]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(name: str) -> str:
    """Return a name as Markdown shows it, whatever it is."""
    return printable(name).replace("|", "\\|").replace("<", "&lt;")


def _count(row: Row, most: int) -> str:
    return f"{row.mean[0]:.3f}" + (f" ({row.clips} clips)" if row.clips < most else "")


def _interval(values: tuple[float, float, float], sign: str = "") -> str:
    mean, low, high = (f"{value:{sign}.3f}" for value in values)
    return f"{mean} [{low}, {high}]"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
