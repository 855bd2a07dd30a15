"""Sections of RESULTS.md, each a list of paragraphs.

Sentences that depend on a result are chosen by the rules of `claims` and `sweep`; all
others hold whatever comes out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.claims import (
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    Verdict,
    describe,
)
from experiments.curves import Curves
from experiments.definition import Experiment
from experiments.plots import plot_curves, plot_seed_differences
from experiments.seeds import Runs, difference
from experiments.sweep import recommend
from experiments.tables import (
    Differences,
    differences_table,
    heading,
    means_table,
    overview_table,
    passes_table,
    runs_table,
)
from speechbrain_mal.analysis.comparison import table_head, table_line


def summary(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the claims by verdict, with the shares of the paper's sizes."""
    lines = []
    for word in (REPRODUCED, NOT_REPRODUCED, NOT_TESTABLE):
        texts = [
            entry.claim.text + (f" ({entry.percent})" if entry.percent else "")
            for entry in verdicts
            if entry.verdict == word
        ]
        lines.append(f"* **{word}** ({len(texts)}): {'; '.join(texts) or 'none'}.")
    note = (
        "In brackets, the difference as a share of the paper's: a verdict is about the "
        "sign, unless its claim is of a size."
    )
    return ["\n".join(lines), note]


def coverage(
    sets: Mapping[str, Runs], experiment: Experiment, seeds: Sequence[str]
) -> list[str]:
    """Return which seeds have scores."""
    lines = table_head(["system", *sets])
    for system in experiment.systems:
        cells = [system]
        for runs in sets.values():
            absent = [seed for seed in seeds if seed not in runs.get(system, {})]
            cells.append("all seeds" if not absent else f"missing {', '.join(absent)}")
        lines.append(table_line(cells))
    return ["\n".join(lines)]


def scores(
    experiment: Experiment,
    settings: Mapping[str, Any],
    sets: Mapping[str, Runs],
    seeds: Sequence[str],
) -> list[str]:
    """Return the means of every system that has scores, by set and kind of score."""
    parts = []
    for table in settings["tables"]:
        for name, runs in sets.items():
            clips = len(next(iter(runs.get("noisy", {}).values()), {}))
            parts.append(f"### {table['title']}, {name} ({clips} clips)")
            systems = [system for system in experiment.systems if system in runs]
            rows = means_table(runs, systems, table["columns"], seeds)
            parts.append("\n".join(rows))
    return parts


def overviews(
    experiment: Experiment,
    settings: Mapping[str, Any],
    differences: Differences,
    page: Path,
    figures: Path,
) -> list[str]:
    """Return every system's differences to the control, a table and picture a set."""
    parts = []
    for name in experiment.sets:
        systems = _compared(experiment, differences, name)
        if not systems:
            continue
        columns, drawn = settings["differences"], settings["drawn"]
        parts.append(f"### {name}")
        parts.append("\n".join(overview_table(differences, name, columns, systems)))
        picture = figures / f"differences_{name}.png"
        plot_seed_differences(
            differences, name, systems, drawn, experiment.control, picture
        )
        parts.append(_picture(f"Differences, {name}", picture, page))
    return parts


def intervals(
    experiment: Experiment, settings: Mapping[str, Any], differences: Differences
) -> list[str]:
    """Return every difference with its intervals, a table a set and score."""
    parts = []
    for name in experiment.sets:
        systems = _compared(experiment, differences, name)
        for column in settings["differences"] if systems else ():
            parts.append(f"### {heading(column)}, {name}: difference")
            parts.append(
                "\n".join(differences_table(differences, name, column, systems))
            )
    return parts or ["There are none."]


def last_epochs(
    experiment: Experiment, columns: Sequence[str], differences: Differences
) -> list[str]:
    """Return the differences after the last epochs, with the intervals of the first."""
    parts = [
        "The epoch that is compared above is the best by the control's own objective, "
        "which an added term may make worse: where it does, an early epoch is chosen. "
        "Here every run is compared after its last, the control too; p is corrected "
        "over this section."
    ]
    for name in experiment.sets:
        parts += against_control(experiment, columns, differences, name)
    return parts if len(parts) > 1 else ["There are no scores."]


def against_control(
    experiment: Experiment, columns: Sequence[str], differences: Differences, name: str
) -> list[str]:
    """Return the differences of a set, with the intervals of the first score."""
    systems = _compared(experiment, differences, name)
    if not systems:
        return []
    rows = differences_table(differences, name, columns[0], systems)
    return [
        "\n".join(overview_table(differences, name, columns, systems)),
        f"{heading(columns[0])}:",
        "\n".join(rows),
    ]


def _compared(experiment: Experiment, differences: Differences, name: str) -> list[str]:
    """Return the systems that have differences in a set."""
    found = {system for where, system, _ in differences if where == name}
    return [system for system in experiment.systems if system in found]


def gain(settings: Mapping[str, Any], verdicts: Sequence[Verdict]) -> list[str]:
    """Return what the gain takes, and what became of the claims of its size."""
    found = [
        f"{entry.claim.text}: **{entry.verdict}** ({entry.reason})."
        for entry in verdicts
        if entry.claim.rule == "as_large"
    ]
    return [settings["gain"].strip(), *found]


def answers(answers: Sequence[Verdict]) -> list[str]:
    """Return what the controls say."""
    opposite = "No, the opposite"
    words = {REPRODUCED: "Yes", NOT_REPRODUCED: "Not shown", NOT_TESTABLE: "No scores"}
    lines = [
        f"* {entry.claim.text} **{opposite if entry.opposite else words[entry.verdict]}"
        f"**: `{entry.claim.system}` "
        f"against `{entry.claim.against}`, {heading(entry.claim.column)}, "
        f"{entry.claim.set}, by rule `{entry.claim.rule}`: {entry.reason}."
        for entry in answers
    ]
    note = (
        "The same rules as above, and p is corrected over these questions. *Yes* is "
        "about the sign: runs of one seed are so alike that differences too small to "
        "matter are clear; look at their size. *Not shown* is what it says: it is no "
        "evidence of the contrary. *The opposite*: the rule holds with the two systems "
        "exchanged."
    )
    return [note, "\n".join(lines)]


def self_consistency(
    experiment: Experiment,
    settings: Mapping[str, Any],
    curves: Curves,
    page: Path,
    figures: Path,
) -> list[str]:
    """Return the scores by pass, with their picture."""
    what = experiment.self_consistency
    column = settings["passes_column"]
    parts = [
        f"{what['clips']} clips of {what['set']}, up to {what['passes']} passes, each "
        f"{'with the level of its input' if what.get('keep_level') else 'as it is'}; "
        f"{heading(column)}, mean over seeds. A field is empty where a seed lost a "
        "clip: its level had grown beyond 32-bit floats, or it could not be scored.",
        "\n".join(passes_table(curves, what["systems"], column)),
    ]
    if any(curves.get(system) for system in what["systems"]):
        picture = figures / "self_consistency.png"
        plot_curves(curves, what["systems"], [column], picture)
        parts.append(_picture("Scores by pass", picture, page))
    return parts


def sweep(sweep: Experiment, rule: Mapping[str, Any], runs: Runs) -> list[str]:
    """Return the gains of other settings, and which is recommended."""
    default, column, guard = rule["default"], rule["column"], rule["guard"]
    fixed = (sweep.baseline, sweep.control, default)
    others = [name for name in sweep.systems if name not in fixed]
    found = recommend(runs, default, others, column, guard, rule["margin"])
    missing = [name for name in others if name not in found.gains]
    parts = [
        f"Gains over `{default}` on `{rule['set']}` alone, better is positive. "
        f"Recommended is the largest gain in {heading(column)} if it is `better` by "
        f"the rule above (p corrected over these settings) and {heading(guard)} falls "
        f"by no more than {rule['margin']:g}; otherwise the default stays: the best of "
        "several noisy means looks better than it is."
    ]
    if found.gains:
        shown = rule["shown"]  # differences, not gains: of no weight in the choice
        lines = table_head(["setting", *map(heading, (column, guard, *shown))])
        lines[1] = table_line(["---"] * 2 + ["---:"] * (1 + len(shown)))
        for name, gain in found.gains.items():
            means = [found.guards[name].mean]
            means += [difference(runs[name], runs[default], c).mean for c in shown]
            cells = [name, describe(gain), *(f"{mean:+.3f}" for mean in means)]
            lines.append(table_line(cells))
        parts.append("\n".join(lines))
    if missing:
        parts.append(f"No scores: {', '.join(missing)}.")
    return [*parts, f"Recommended: **`{found.setting}`** ({found.reason})."]


def runs(results: Path, seeds: Sequence[str], systems: Sequence[str]) -> list[str]:
    """Return what was trained, and how it ended."""
    records = {}
    for system in systems:
        for seed in seeds:
            path = results / "records" / system / seed / "train.json"
            if path.exists():
                records[system, seed] = json.loads(path.read_text(encoding="utf-8"))
    if not records:
        return ["No run is recorded."]
    chosen = sorted({record["chosen_by"] for record in records.values()})
    commits = sorted({record["commit"][:10] for record in records.values()})
    devices = sorted({record["device"] for record in records.values()})
    return [
        f"The epoch that is compared is the best by validation {', '.join(chosen)}. "
        f"Device: {', '.join(devices)}; commits: {', '.join(commits)} (+: with "
        f"changes). Commands and versions: `scores/{results.name}/records`.",
        "\n".join(runs_table(records, systems)),
    ]


def _picture(text: str, picture: Path, page: Path) -> str:
    try:
        place = picture.resolve().relative_to(page.resolve().parent)
    except ValueError:
        place = picture
    return f"![{text}]({place.as_posix()})"
