"""Tables of RESULTS.md, as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.claims import Verdict, describe, is_better, whole_passes
from experiments.definition import NOISY
from experiments.gains import BOTH, Gain, Scores, t_interval
from speechbrain_mal.metrics.registry import HEADINGS

Gains = dict[tuple[str, str], Gain]  # by system and column


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> str:
    """Return a table; its first `text` columns stand to the left, numbers to the right.

    Example
    -------
    >>> print(markdown(["system", "PESQ"], [["a", "2.1"]]))
    | system | PESQ |
    | --- | ---: |
    | a | 2.1 |
    """
    rule = ["---"] * text + ["---:"] * (len(head) - text)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def named(columns: Sequence[str]) -> list[str]:
    """Return how tables name columns."""
    return [HEADINGS.get(column, column) for column in columns]


def interval(mean: float, ends: tuple[float, float]) -> str:
    """Return a mean with its interval, signed; without one where it has none."""
    if np.isnan(ends[0]):
        return f"{mean:+.3f}"
    return f"{mean:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}]"


def means_table(
    scores: Scores, kind: str, name: str, systems: Sequence[str], columns: Sequence[str]
) -> str:
    """Return each system's mean over trainings, ± half of Student's 95 % interval."""
    rows = []
    for system in (NOISY, *systems):
        found = [list(scores.means(kind, name, system, c).values()) for c in columns]
        if not any(found):
            continue
        number = "" if system == NOISY else str(max(map(len, found)))
        rows.append([system, number, *map(_mean, found)])
    return markdown(["system", "seeds", *named(columns)], rows)


def _mean(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "".join(f"{value:.3f}" for value in values)
    return f"{np.mean(values):.3f} ± {np.ptp(t_interval(values)) / 2:.3f}"


def gains_table(
    gains: Gains, columns: Sequence[str], minimum: Mapping[str, float]
) -> str:
    """Return gains, a row a system; bold where `better` or its opposite holds."""
    rows = []
    for system in dict.fromkeys(system for system, _ in gains):
        row = [system]
        for column in columns:
            gain = gains.get((system, column))
            cell = f"{gain.mean:+.3f}" if gain else ""
            if gain and any(is_better(gain, minimum[column], s) for s in (1, -1)):
                cell = f"**{cell}**"
            row.append(cell)
        rows.append(row)
    return markdown(["system", *named(columns)], rows)


def trainings_table(
    scores: Scores,
    pairs: Sequence[Sequence[str]],
    columns: Sequence[str],
    kind: str = BOTH,
) -> str:
    """Return gains in a round, or in both together, with intervals over trainings."""
    rows = []
    for name, system, against in pairs:
        found = [scores.gain(kind, name, system, against, c) for c in columns]
        if all(found):
            number = str(len(found[0].by_training))
            cells = [interval(gain.mean, gain.over_trainings) for gain in found]
            rows.append([f"{system} over {against}, {name}", number, *cells])
    return markdown(["gain", "trainings", *named(columns)], rows)


def verdicts_table(verdicts: Sequence[Verdict]) -> str:
    """Return claims with their verdicts and numbers."""
    head = ["claim", "paper", "rule", "verdict", "here", "of the paper's size"]
    rows = []
    for entry in verdicts:
        claim, gain = entry.claim, entry.gain
        share = f"{100 * gain.mean / claim.size:.0f} %" if gain and claim.size else ""
        row = [claim.text, claim.paper, f"`{claim.rule}`", f"**{entry.word}**"]
        rows.append([*row, entry.reason, share])
    return markdown(head, rows, 5)


def paper_table(paper: Mapping[str, Any], scores: Scores, control: str) -> str:
    """Return the paper's gains over its control beside ours."""
    rows, theirs = [], paper["scores"]
    for system, name in paper["systems"].items():
        if system == control:
            continue
        row = [system]
        for column, (where, ours) in paper["columns"].items():
            values = [theirs[n][column] for n in (name, paper["systems"][control])]
            sign = -1 if column in paper["lower_is_better"] else 1
            gain = scores.gain("first", where, system, control, ours)
            here = f"{gain.mean:+.2f}" if gain else "–"
            row.append(f"{sign * (values[0] - values[1]):+.2f} / {here}")
        rows.append(row)
    return markdown(["system", *paper["columns"]], rows)


def passes_table(scores: Scores, systems: Sequence[str], column: str) -> str:
    """Return means over seeds by pass; a number where all seeds kept all clips."""
    found = {system: mean_passes(scores, system, column) for system in systems}
    passes = sorted({number for means in found.values() for number in means})
    rows = [
        [system, *(f"{means[n]:.2f}" if n in means else "" for n in passes)]
        for system, means in found.items()
    ]
    return markdown(["system", *map(str, passes)], rows)


def mean_passes(scores: Scores, system: str, column: str) -> dict[int, float]:
    """Return means over seeds, by pass: of the passes in which no seed lost a clip."""
    curves = [whole_passes(c)[column] for c in scores.curves.get(system, {}).values()]
    return (sum(curves) / len(curves)).dropna().to_dict() if curves else {}


def sweep_table(rows: Mapping[str, Sequence[Gain]], columns: Sequence[str]) -> str:
    """Return settings with their gains, the first with its interval."""
    lines = [
        [name, describe(first), *(f"{gain.mean:+.3f}" for gain in further)]
        for name, (first, *further) in rows.items()
    ]
    return markdown(["setting", *named(columns)], lines, 2)
