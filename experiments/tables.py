"""Tables of systems that were trained from several seeds, as Markdown."""

import math
from collections.abc import Mapping, Sequence

from experiments.claims import NOT_REPRODUCED, Verdict
from experiments.curves import Curves, mean_passes
from experiments.definition import NOISY
from experiments.seeds import (
    Difference,
    Runs,
    seed_means,
    t_interval,
)
from speechbrain_mal.analysis.comparison import table_head, table_line
from speechbrain_mal.metrics.registry import HEADINGS, LOWER_IS_BETTER

MISSING = "missing"
Differences = dict[tuple[str, str, str], Difference]  # by set, system and column


def heading(column: str) -> str:
    """Return how a table names a column."""
    return HEADINGS.get(column, column)


def means_table(
    runs: Runs, systems: Sequence[str], columns: Sequence[str], seeds: Sequence[str]
) -> list[str]:
    """Return means over seeds, with what is missing named.

    Arguments
    ---------
    runs : dict
        Scores by system and seed.
    systems, columns, seeds : sequence of str
        Rows, columns, and the seeds that there should be.
    """
    lines = table_head(["system", "seeds", *map(heading, columns)])
    for system in (NOISY, *systems):
        found = runs.get(system, {})
        if system != NOISY:
            found = {seed: found[seed] for seed in seeds if seed in found}
        if not found:
            lines.append(table_line([system, "0", *[MISSING] * len(columns)]))
            continue
        cells = [system, "" if system == NOISY else f"{len(found)} of {len(seeds)}"]
        for column in columns:
            values = list(seed_means(found, column).values())
            cells.append(_mean(*t_interval(values)) if values else MISSING)
        lines.append(table_line(cells))
    return lines


def _mean(mean: float, low: float, high: float) -> str:
    if math.isnan(low):
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {high - mean:.3f}"


def overview_table(
    differences: Differences,
    name: str,
    columns: Sequence[str],
    systems: Sequence[str],
) -> list[str]:
    """Return the differences of a set: a row a system, a column a score."""
    lines = table_head(
        ["system", *(heading(c) + " ↓" * (c in LOWER_IS_BETTER) for c in columns)]
    )
    for system in systems:
        cells = [system]
        for column in columns:
            found = differences.get((name, system, column))
            if found is None:
                cells.append("")
                continue
            mark = "**" if found.p < 0.05 else ""
            sign = f"{found.same_sign()}/{found.seeds}"
            cells.append(f"{mark}{found.mean:+.3f}{mark} ({sign})")
        lines.append(table_line(cells))
    return lines


def differences_table(
    differences: Differences, name: str, column: str, systems: Sequence[str]
) -> list[str]:
    """Return the differences of a set in one column, of the systems that have one."""
    lines = table_head(
        ["system", "difference", "95 % over clips", "p", "95 % over seeds", "by seed"]
    )
    for system in systems:
        found = differences.get((name, system, column))
        if found is None:
            continue
        p = "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"
        mark = "**" if found.p < 0.05 else ""
        lines.append(
            table_line(
                [
                    system,
                    f"{mark}{found.mean:+.3f}{mark}",
                    _interval(found.over_clips),
                    p,
                    _interval(found.over_seeds),
                    ", ".join(f"{value:+.3f}" for value in found.by_seed.values()),
                ]
            )
        )
    return lines


def _interval(ends: tuple[float, float]) -> str:
    if math.isnan(ends[0]):
        return "needs two"
    return f"[{ends[0]:+.3f}, {ends[1]:+.3f}]"


def paper_table(
    paper: Mapping[str, Mapping], differences: Differences, control: str
) -> list[str]:
    """Return the paper's differences to its control beside ours.

    Arguments
    ---------
    paper : mapping
        `scores`, the paper's by its own column, by system; `systems`, how ours are
        called there; `columns`, our set and column by the paper's column.
    differences : dict
        Ours.
    control : str
        Our name of the control.
    """
    columns, names, theirs = paper["columns"], paper["systems"], paper["scores"]
    lines = table_head(["system", *columns])
    for system, name in names.items():
        if system == control:
            continue
        cells = [system]
        for column, (where, ours) in columns.items():
            there, reference = (
                theirs[row].get(column, math.nan) for row in (name, names[control])
            )
            found = differences.get((where, system, ours))
            here = MISSING if found is None else f"{found.mean:+.2f}"
            gain = there - reference
            cells.append(f"{'–' if math.isnan(gain) else f'{gain:+.2f}'} / {here}")
        lines.append(table_line(cells))
    return lines


def verdicts_table(verdicts: Sequence[Verdict]) -> list[str]:
    """Return claims with their verdicts and numbers."""
    head = ["claim", "paper", "rule", "verdict", "here", "of the paper's size"]
    lines = [table_line(head), table_line(["---"] * 5 + ["---:"])]
    for entry in verdicts:
        claim = entry.claim
        rule = f"`{claim.rule}`" + (f" {claim.margin:g}" if claim.margin else "")
        verdict = f"**{entry.verdict}**"
        if entry.opposite and entry.verdict == NOT_REPRODUCED:
            verdict += ": the opposite holds"
        cells = [claim.text, claim.paper, rule, verdict, entry.reason, entry.percent]
        lines.append(table_line(cells))
    return lines


def passes_table(curves: Curves, systems: Sequence[str], column: str) -> list[str]:
    """Return means over seeds by pass; a number where all seeds kept all clips."""
    found = {system: mean_passes(curves.get(system, {}), column) for system in systems}
    passes = sorted({number for means in found.values() for number in means})
    lines = table_head(["system", "seeds", *map(str, passes)])
    for system, means in found.items():
        cells = (f"{means[number]:.2f}" if number in means else "" for number in passes)
        lines.append(table_line([system, str(len(curves.get(system, {}))), *cells]))
    return lines


def runs_table(
    records: Mapping[tuple[str, str], Mapping], systems: Sequence[str]
) -> list[str]:
    """Return the epoch that each run's test took, and its validation scores."""
    keys = list(
        dict.fromkeys(
            key
            for record in records.values()
            for key in record["validation"]
            if key != "loss"
        )
    )
    lines = table_head(["run", "best epoch", *(f"valid {key}" for key in keys), "min"])
    for system in systems:
        for (name, seed), record in records.items():
            if name != system:
                continue
            scores = (record["validation"].get(key) for key in keys)
            minutes = f"{record['wall_seconds'] / 60:.0f}"
            lines.append(
                table_line(
                    [
                        f"{system}, {seed}",
                        str(record["best_epoch"]),
                        *("" if value is None else f"{value:.3f}" for value in scores),
                        minutes if record["whole"] else f"{minutes}, the last piece",
                    ]
                )
            )
    return lines
