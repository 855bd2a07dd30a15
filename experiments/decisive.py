"""The section of RESULTS.md on the decisive experiment.

Its endpoint stands in `decisive.yaml`: on a set a term is a `better loss` if, over the
control,

* every score of `better` is better by the minimum or more, is better in every training,
  and p < 0.05: over clips, clustered; the largest p of these scores, with Holm over the
  systems of the set;
* and of every score of `not_worse` the lower end of the interval over clips, and every
  training's mean, lie above minus the minimum.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from experiments import tables
from experiments.claims import is_better, is_no_worse
from experiments.definition import NOISY, Experiment
from experiments.gains import Gain, Scores, correct
from experiments.plots import plot_trade

ROUND = "decisive"


def endpoints(
    experiment: Experiment, scores: Scores, name: str, minimum: Mapping[str, float]
) -> dict[str, tuple[str, dict[str, Gain]]]:
    """Return each system's verdict on a set, and its gains over the control."""
    up, kept = experiment.endpoint["better"], experiment.endpoint["not_worse"]
    found: dict[str, dict[str, Gain]] = {}
    others = [s for s in experiment.sets[name].systems if s != experiment.control]
    for system in others:
        gains = {
            column: scores.gain(ROUND, name, system, experiment.control, column)
            for column in (*up, *kept)
        }
        if all(gains.values()):
            found[system] = gains
    correct([max((g[c] for c in up), key=lambda x: x.p) for g in found.values()])
    verdicts = {}
    for system, gains in found.items():
        rises = all(is_better(gains[c], minimum[c]) for c in up)
        holds = all(is_no_worse(gains[c], minimum[c]) for c in kept)
        word = "better loss" if rises and holds else "not shown"
        if len(gains[up[0]].by_training) < 2:
            word = "one training"
        verdicts[system] = word, gains
    return verdicts


def section(
    experiment: Experiment,
    scores: Scores,
    minimum: Mapping[str, float],
    columns: Sequence[str],
    pairs: Sequence[Sequence[str]],
    picture: Path,
) -> list[str]:
    """Return tables of verdicts and of pairs by set, and draw the trade."""
    parts = []
    for name in experiment.judged():
        rows = []
        for system, (word, gains) in endpoints(
            experiment, scores, name, minimum
        ).items():
            numbers = [tables.interval(g.mean, g.over_clips) for g in gains.values()]
            more = [
                scores.gain(ROUND, name, system, experiment.control, c) for c in columns
            ]
            number = str(len(next(iter(gains.values())).by_training))
            rows.append(
                [
                    system,
                    number,
                    word,
                    *numbers,
                    *(f"{gain.mean:+.3f}" for gain in more),
                ]
            )
        ends = [*experiment.endpoint["better"], *experiment.endpoint["not_worse"]]
        head = ["system", "trainings", "verdict", *tables.named([*ends, *columns])]
        parts += [f"### {name}: over {experiment.control}", tables.markdown(head, rows)]
        asked = [[name, *pair] for pair in pairs]
        parts.append(tables.trainings_table(scores, asked, ends, ROUND))
    plot_trade(experiment, scores, ROUND, picture)
    return parts


def words(experiment: Experiment, scores: Scores) -> list[str]:
    """Return a table of word error rates by set, and by how much they are lower."""
    parts, control = [], experiment.control
    head = ["system", "trainings", "WER (%)", f"fewer than {control}"]
    for name, entry in experiment.sets.items():
        rows = []
        for system in (NOISY, *entry.systems):
            means = scores.means(ROUND, name, system, "wer")
            if not means:
                continue
            gain = None
            if system != control:
                gain = scores.gain(ROUND, name, system, control, "wer")
            fewer = tables.interval(gain.mean, gain.over_clips) if gain else ""
            seeds = "" if system == NOISY else str(len(means))
            rows.append([system, seeds, f"{fmean(means.values()):.1f}", fewer])
        if rows:
            parts += [f"### {name}: word error rate", tables.markdown(head, rows)]
    return parts
