"""RESULTS.md: what an experiment's committed scores say, written by rule."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from experiments import sections
from experiments.claims import Claim, Verdict, judge
from experiments.claims import __doc__ as rules
from experiments.curves import read_curves
from experiments.definition import Experiment
from experiments.rerun import rerun_name, rerun_section
from experiments.seeds import Runs, correct, difference, read_runs
from experiments.tables import Differences, paper_table, verdicts_table

_HOW = """\
Seed by seed from the same baseline, on the clips that were scored in every run of both:

* **over clips**: a 95 % bootstrap interval, and p of Wilcoxon's signed-rank test, of
  each clip's difference averaged over the seeds; p is corrected by Holm over all
  {tests} differences to the control on this page. It speaks of other clips with these
  trainings.
* **over seeds**: Student's t interval of each seed's difference averaged over the
  clips. It speaks of other trainings on these clips.

Bold: p < 0.05; in brackets, how many seeds have the mean's sign; ↓: less is better. The
intervals, and each seed's mean, stand under *Every difference, with its intervals*.
"""


def write_results(
    experiment: Experiment,
    settings: Mapping[str, Any],
    results: Path,
    page: Path,
    figures: Path,
    sweep: Experiment | None = None,
    last_epoch: Experiment | None = None,
    rerun: Path | None = None,
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
    last_epoch : Experiment, optional
        The same runs, scored after their last epochs.
    rerun : Path, optional
        Folder as `results`, of the same systems trained from the same seeds once more.

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
    reruns = {
        rerun_name(name): _only(read_runs(rerun / name), seeds)
        for name in (experiment.sets if rerun else ())
    }
    curves = _only(read_curves(results / "self_consistency"), seeds)
    systems = list(experiment.systems)
    shown = [(name, c) for name in sets for c in settings["differences"]]
    shown += [tuple(entry) for entry in settings["paper"]["columns"].values()]
    differences = _differences(experiment, shown, sets)
    known = sets | reruns
    verdicts = judge([Claim(**entry) for entry in settings["claims"]], known, curves)
    answers = judge([Claim(**entry) for entry in settings["controls"]], known, curves)
    parts = [
        settings["introduction"].strip(),
        "Written by `python -m experiments.report` from the scores in "
        "`experiments/scores`; the prose between the figures is typed.",
        "## In short",
        *sections.summary(verdicts),
        "## The paper's claims",
        "Each verdict follows from the scores by the rule that is named; intervals in "
        "`here` are over clips, positive is better.",
        "\n".join(verdicts_table(verdicts)),
        rules.split("\n\n", 1)[1].strip(),
        "## What the controls say",
        *sections.answers(answers),
        "## What the paper's gain takes",
        *sections.gain(settings, verdicts),
        f"## Differences to `{experiment.control}`",
        _HOW.format(control=experiment.control, tests=len(differences)).strip(),
        *sections.overviews(experiment, settings, differences, page, figures),
        "### Beside the paper",
        "The paper's / ours (mean over seeds; – where the paper has none). Its numbers "
        "are of one run each, another model, other data and the full length: sizes "
        "need not agree, signs may.",
        "\n".join(paper_table(settings["paper"], differences, experiment.control)),
    ]
    if experiment.self_consistency:
        parts.append("## Fed with their own output")
        parts += sections.self_consistency(experiment, settings, curves, page, figures)
    if last_epoch is not None:
        columns = settings["last_epoch"]["columns"]
        sets_last = {
            name: _only(read_runs(results / name), seeds) for name in last_epoch.sets
        }
        asked = [(name, column) for name in sets_last for column in columns]
        found = _differences(last_epoch, asked, sets_last)
        parts.append("## The last epochs instead of the best")
        parts += sections.last_epochs(last_epoch, columns, found)
    if rerun is not None:
        columns = settings["rerun"]["columns"]
        asked = [(name, column) for name in reruns for column in columns]
        found = _differences(experiment, asked, reruns)
        parts.append("## The same seeds, trained again")
        parts += rerun_section(experiment, columns, known, found)
        parts += sections.runs(rerun, seeds, systems)
    if sweep is not None:
        rule = settings["sweep"]
        runs = _only(read_runs(results / rule["set"]), [*map(str, sweep.seeds)])
        parts.append("## Settings of the loss, on the validation set")
        parts += sections.sweep(sweep, rule, runs)
    parts += [
        "## Scores",
        "Means over seeds, each the mean over clips; ± is half the 95 % interval over "
        "seeds (Student's t; with three seeds 4.3 standard errors).",
        *sections.scores(experiment, settings, sets, seeds),
        "## Every difference, with its intervals",
        *sections.intervals(experiment, settings, differences),
        "## Runs",
        *sections.coverage(known, experiment, seeds),
        *sections.runs(results, seeds, systems),
    ]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return verdicts


def _only(runs: Mapping[str, Mapping], seeds: Collection[str]) -> dict[str, dict]:
    """Return the results of the experiment's seeds, and those of the noisy input."""
    return {
        system: {
            seed: table for seed, table in found.items() if seed in (*seeds, "input")
        }
        for system, found in runs.items()
    }


def _differences(
    experiment: Experiment,
    shown: Collection[tuple[str, str]],
    sets: Mapping[str, Runs],
) -> Differences:
    """Return the differences to the control by set and column, p corrected."""
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
