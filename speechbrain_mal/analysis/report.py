"""All that a comparison of systems leaves behind: tables, pictures, a page to hear."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from speechbrain_mal.analysis.comparison import (
    Scores,
    breakdown,
    breakdown_markdown,
    check_control,
    columns_of,
    compare,
    markdown,
    name_cell,
)
from speechbrain_mal.analysis.listening import listening_page
from speechbrain_mal.analysis.plots import plot_breakdown, plot_differences
from speechbrain_mal.files import write_text
from speechbrain_mal.metrics import Clip, evaluate
from speechbrain_mal.metrics.registry import versions
from speechbrain_mal.metrics.table import as_json, infinite_lines, infinite_scores
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
        As of `metrics.evaluate`.
    control : str
        System that the others are compared with.
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

    Raises
    ------
    ValueError
        When the control is not among the systems, a system's name is none of a folder,
        and as of `metrics.evaluate`.
    """
    check_control(systems, control)
    for name in systems:
        check_system(name)
    folder = Path(folder)
    scores, failures = {}, []
    for name, clips in systems.items():
        place = folder / "scores" / name
        progress = place / "progress.jsonl"
        table = evaluate(clips, metrics, options, jobs, progress, progressbar)
        table.write(place)
        scores[name] = table.rows
        failures += [f"{name}: {failure}" for failure in table.failures]
    rows, analyses = compare(scores, control)
    text = "# Comparison\n\n" + markdown(rows, analyses, control)
    for name, table in scores.items():
        if lines := infinite_lines(infinite_scores(table)):
            text += "\n".join(["", f"{name_cell(name)}:", *lines]) + "\n"
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
        "infinite": {name: infinite_scores(table) for name, table in scores.items()},
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
        groups = {clip: facts[key] for clip, facts in log.items()}
        means = {
            column: breakdown(scores, groups, column) for column in columns_of(scores)
        }
        picture = f"by_{key.split()[0].lower()}.png"
        plot_breakdown(means, key, folder / picture)
        text += breakdown_markdown(means, key)
        text += f"\n![By {key}]({picture})\n"
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
