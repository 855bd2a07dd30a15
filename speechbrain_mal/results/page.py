"""RESULTS.md: what an experiment's committed scores say, written by rule.

Sentences that depend on a result are chosen by the rules of `claims` and `sweep`; all
others hold whatever comes out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechbrain_mal.analysis.comparison import table_head, table_line
from speechbrain_mal.experiment.definition import Experiment
from speechbrain_mal.results.claims import (
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    Claim,
    Verdict,
    judge,
)
from speechbrain_mal.results.claims import __doc__ as rules
from speechbrain_mal.results.figures import plot_curves, plot_seed_differences
from speechbrain_mal.results.seeds import (
    Curves,
    Runs,
    correct,
    difference,
    read_curves,
    read_runs,
)
from speechbrain_mal.results.sweep import recommend
from speechbrain_mal.results.tables import (
    Differences,
    differences_table,
    heading,
    means_table,
    paper_table,
    passes_table,
    runs_table,
    verdicts_table,
)

_HOW = """\
Means are over seeds, each the mean over clips; ± is half the 95 % interval over seeds
(Student's t; with three seeds 4.3 standard errors). Differences are to `{control}`,
seed by seed from the same baseline, on the clips that were scored in every run of both:

* **over clips**: a 95 % bootstrap interval, and p of Wilcoxon's signed-rank test, of
  each clip's difference averaged over the seeds; p is corrected by Holm over all
  {tests} differences to the control on this page. It speaks of other clips with these
  trainings.
* **over seeds**: Student's t interval of each seed's difference averaged over the
  clips. It speaks of other trainings on these clips. `sign` counts the seeds that have
  the mean's sign.

Bold: p < 0.05. Where `missing` stands, there are no scores.
"""


def write_results(
    experiment: Experiment,
    settings: Mapping[str, Any],
    results: Path,
    page: Path,
    figures: Path,
    sweep: Experiment | None = None,
) -> list[Verdict]:
    """Write the page and its figures from committed scores.

    Arguments
    ---------
    experiment : Experiment
        What there should be: systems, seeds, sets.
    settings : mapping
        `experiments/report.yaml`, which explains its keys.
    results : Path
        Folder of scores and records.
    page, figures : Path
        File to write, and folder of its pictures.
    sweep : Experiment, optional
        Settings of a system, scored on the validation set.

    Returns
    -------
    list of Verdict
        What became of the claims.

    Raises
    ------
    ValueError
        When scores can't be read, or a claim has an unknown rule.
    """
    figures.mkdir(parents=True, exist_ok=True)
    page.parent.mkdir(parents=True, exist_ok=True)
    seeds = [str(seed) for seed in experiment.seeds]
    sets = {name: _only(read_runs(results / name), seeds) for name in experiment.sets}
    curves = _only(read_curves(results / "self_consistency"), seeds)
    systems = list(experiment.systems)
    differences = _differences(experiment, settings, sets)
    verdicts = judge([Claim(**entry) for entry in settings["claims"]], sets, curves)
    answers = judge([Claim(**entry) for entry in settings["controls"]], sets, curves)
    parts = [
        settings["introduction"].strip(),
        "Written by `python experiments/report.py` from the scores in "
        "`experiments/results`; nothing here is typed in.",
        _summary(verdicts),
        "## What there is",
        _coverage(sets, experiment, seeds),
        "## Scores",
        _HOW.format(control=experiment.control, tests=len(differences)).strip(),
        *_scores(experiment, settings, sets, seeds),
        *_difference_parts(experiment, settings, differences, page, figures),
        "## Beside the paper",
        "Difference to the fair control, the paper's / ours (mean over seeds; – where "
        "the paper has none). Its numbers are of one run each, another model, other "
        "data and the full length: sizes need not agree, signs may.",
        "\n".join(
            paper_table(
                settings["paper"]["scores"],
                differences,
                settings["paper"]["systems"],
                settings["paper"]["columns"],
                experiment.control,
            )
        ),
        "## The paper's claims",
        "Each verdict follows from the scores by the rule that is named; intervals in "
        "`here` are over clips, positive is better.",
        "\n".join(verdicts_table(verdicts)),
        rules.split("\n\n", 1)[1].strip(),
        *_gain(settings, verdicts),
        "## What the controls say",
        *_answers(answers),
        *_self_consistency(experiment, settings, curves, page, figures),
        *_sweep(sweep, settings, results),
        "## Runs",
        *_runs(results, seeds, systems),
    ]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return verdicts


def _only(runs: Mapping[str, Mapping], seeds: Sequence[str]) -> dict[str, dict]:
    """Return the results of the experiment's seeds, and those of the noisy input."""
    return {
        system: {
            seed: table for seed, table in found.items() if seed in (*seeds, "input")
        }
        for system, found in runs.items()
    }


def _differences(
    experiment: Experiment, settings: Mapping[str, Any], sets: Mapping[str, Runs]
) -> Differences:
    """Return every difference to the control that the page shows, p corrected."""
    shown = [(name, c) for name in sets for c in settings["differences"]]
    shown += [tuple(entry) for entry in settings["paper"]["columns"].values()]
    found = {}
    for name, column in dict.fromkeys(shown):
        runs = sets.get(name, {})
        for system in experiment.systems:
            if system == experiment.control:
                continue
            pair = runs.get(system, {}), runs.get(experiment.control, {})
            entry = difference(*pair, column)
            if entry is not None:
                found[name, system, column] = entry
    correct(list(found.values()))
    return found


def _summary(verdicts: Sequence[Verdict]) -> str:
    lines = ["## In short", ""]
    for word in (REPRODUCED, NOT_REPRODUCED, NOT_TESTABLE):
        texts = [entry.claim.text for entry in verdicts if entry.verdict == word]
        lines.append(f"* **{word}** ({len(texts)}): {'; '.join(texts) or 'none'}.")
    return "\n".join(lines)


def _coverage(
    sets: Mapping[str, Runs], experiment: Experiment, seeds: Sequence[str]
) -> str:
    lines = table_head(["system", *sets])
    for system in experiment.systems:
        cells = [system]
        for runs in sets.values():
            absent = [seed for seed in seeds if seed not in runs.get(system, {})]
            cells.append(f"missing {', '.join(absent)}" if absent else "all seeds")
        lines.append(table_line(cells))
    return "\n".join(lines)


def _scores(
    experiment: Experiment,
    settings: Mapping[str, Any],
    sets: Mapping[str, Runs],
    seeds: Sequence[str],
) -> list[str]:
    parts = []
    for table in settings["tables"]:
        for name, runs in sets.items():
            clips = len(next(iter(runs.get("noisy", {}).values()), {}))
            parts.append(f"### {table['title']}, {name} ({clips} clips)")
            rows = means_table(runs, [*experiment.systems], table["columns"], seeds)
            parts.append("\n".join(rows))
    return parts


def _difference_parts(
    experiment: Experiment,
    settings: Mapping[str, Any],
    differences: Differences,
    page: Path,
    figures: Path,
) -> list[str]:
    others = [name for name in experiment.systems if name != experiment.control]
    parts = []
    for name in experiment.sets:
        picture = figures / f"differences_{name}.png"
        drawn = settings["drawn"]
        found = [x for x in others if any((name, x, c) in differences for c in drawn)]
        plot_seed_differences(
            differences, name, found, drawn, experiment.control, picture
        )
        parts.append(_picture(f"Differences, {name}", picture, page))
        for column in settings["differences"]:
            rows = differences_table(differences, name, column, others)
            if len(rows) > 2:
                parts.append(f"### {heading(column)}, {name}: difference")
                parts.append("\n".join(rows))
    return parts


def _gain(settings: Mapping[str, Any], verdicts: Sequence[Verdict]) -> list[str]:
    found = [
        f"{entry.claim.text}: **{entry.verdict}** ({entry.reason})."
        for entry in verdicts
        if entry.claim.rule == "as_large"
    ]
    return ["## What the paper's gain takes", settings["gain"].strip(), *found]


def _answers(answers: Sequence[Verdict]) -> list[str]:
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
        "The same rules as above, and p is corrected over these questions. *Not shown* "
        "is what it says: it is no evidence of the contrary. *The opposite*: the rule "
        "holds with the two systems exchanged."
    )
    return [note, "\n".join(lines)]


def _self_consistency(
    experiment: Experiment,
    settings: Mapping[str, Any],
    curves: Curves,
    page: Path,
    figures: Path,
) -> list[str]:
    what = experiment.self_consistency
    if not what:
        return []
    column = settings["passes_column"]
    parts = [
        "## Fed with their own output",
        f"{what['clips']} clips of {what['set']}, up to {what['passes']} passes; "
        f"{heading(column)}, mean over seeds. A field is empty where a seed lost a "
        "clip: its level had grown beyond 32-bit floats, or it could not be scored.",
        "\n".join(passes_table(curves, what["systems"], column)),
    ]
    if any(curves.get(system) for system in what["systems"]):
        picture = figures / "self_consistency.png"
        plot_curves(curves, what["systems"], [column], picture)
        parts.append(_picture("Scores by pass", picture, page))
    return parts


def _sweep(
    sweep: Experiment | None, settings: Mapping[str, Any], results: Path
) -> list[str]:
    if sweep is None:
        return []
    rule = settings["sweep"]
    seeds = [str(seed) for seed in sweep.seeds]
    runs = _only(read_runs(results / rule["set"]), seeds)
    default = rule["default"]
    fixed = (sweep.baseline, sweep.control, default)
    others = [name for name in sweep.systems if name not in fixed]
    found = recommend(
        runs, default, others, rule["column"], rule["guard"], rule["margin"]
    )
    lines = table_head(["setting", f"gain in {heading(rule['column'])}"])
    for name in others:
        gain = found.gains.get(name)
        text = "missing" if gain is None else f"{gain.mean:+.3f} of {gain.seeds} seeds"
        lines.append(table_line([name, text]))
    return [
        "## Settings of the loss, on the validation set",
        f"Gains over `{default}` on `{rule['set']}` alone. Recommended is the largest "
        f"gain in {heading(rule['column'])} if it is `better` by the rule above and "
        f"{heading(rule['guard'])} falls by no more than {rule['margin']:g}; otherwise "
        "the default stays.",
        "\n".join(lines),
        f"Recommended: **`{found.setting}`** ({found.reason}).",
    ]


def _runs(results: Path, seeds: Sequence[str], systems: Sequence[str]) -> list[str]:
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
        "changes). Commands and versions are in `experiments/results/records`.",
        "\n".join(runs_table(records, systems)),
    ]


def _picture(text: str, picture: Path, page: Path) -> str:
    try:
        place = picture.resolve().relative_to(page.resolve().parent)
    except ValueError:
        place = picture
    return f"![{text}]({place.as_posix()})"
