"""The same seeds trained anew elsewhere, and whether each row is found again.

A seed fixes the data's order and the first weights, not the order of sums, which
depends on the processor and the number of threads: after many epochs the weights
differ as those of two seeds do. So a rerun is held to the interval over seeds, and its
systems are compared with the control of the rerun, which has the same baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.definition import Experiment
from experiments.sections import against_control
from experiments.seeds import Runs, seed_means, t_interval
from experiments.tables import Differences, heading
from speechbrain_mal.analysis.comparison import table_head, table_line


def rerun_name(name: str) -> str:
    """Return how a set's rerun is called, in claims and tables.

    Example
    -------
    >>> rerun_name("testset")
    'testset, rerun'
    """
    return f"{name}, rerun"


def rerun_section(
    experiment: Experiment,
    columns: Sequence[str],
    sets: Mapping[str, Runs],
    differences: Differences,
) -> list[str]:
    """Return the paragraphs on a rerun.

    Arguments
    ---------
    experiment : Experiment
        Systems and sets.
    columns : sequence of str
        Scores to show, the first with its intervals.
    sets : mapping of str to dict
        Scores of the first runs by set, and of the rerun by the set's `rerun_name`.
    differences : dict
        The rerun's, to its own control.
    """
    systems = list(experiment.systems)
    parts = [
        "The committed configuration once more, on another machine, from the baselines "
        "on. A seed fixes the data's order and the first weights, not the order of "
        "sums, which depends on processor and threads: in the end the weights differ, "
        "so a run is held to the interval over seeds. The first training / the rerun; "
        "bold: outside the interval."
    ]
    pairs = []
    for name in experiment.sets:
        again = sets.get(rerun_name(name), {})
        rows = rerun_rows(sets.get(name, {}), again, systems, columns)
        if rows:
            table = rerun_table(rows, columns)
            parts += [f"### {rerun_name(name)}", "\n".join(table)]
            pairs += [pair for row in rows.values() for pair in row.values()]
        if found := against_control(experiment, columns, differences, rerun_name(name)):
            parts += [
                f"Differences to the rerun's own `{experiment.control}`, p corrected "
                "over this section:",
                *found,
            ]
    if len(parts) == 1:
        return ["There are no scores."]
    within = sum(pair.is_within for pair in pairs)
    within = f"{within} of {len(pairs)} means lie within the interval."
    return [parts[0], within, *parts[1:]]


@dataclass(frozen=True)
class Pair:
    """A mean of one run, and of the run with its seed that was trained again.

    Attributes
    ----------
    first, again : float
        Both means over clips.
    low, high : float
        Interval over the first round's seeds.
    """

    first: float
    again: float
    low: float
    high: float

    @property
    def is_within(self) -> bool:
        """Whether the second mean lies in the interval."""
        return self.low <= self.again <= self.high


Rows = dict[tuple[str, str], dict[str, Pair]]


def rerun_rows(
    first: Runs, rerun: Runs, systems: Sequence[str], columns: Sequence[str]
) -> Rows:
    """Return the means of each run that was trained twice, beside each other.

    Arguments
    ---------
    first, rerun : dict
        Scores by system and seed.
    systems, columns : sequence of str
        Which to compare.

    Returns
    -------
    dict
        Pairs by (system, seed) and column, of what both rounds have; without those of
        a single first seed, which has no interval.

    Example
    -------
    >>> runs = {"a": {"1": {"x": {"pesq": 2.0}}}}
    >>> rerun_rows(runs, runs, ["a"], ["pesq"])
    {}
    """
    rows: Rows = {}
    for system in systems:
        for column in columns:
            known = seed_means(first.get(system, {}), column)
            found = seed_means(rerun.get(system, {}), column)
            if len(known) < 2:
                continue
            _, low, high = t_interval(list(known.values()))
            for seed in sorted(set(known) & set(found)):
                pair = Pair(known[seed], found[seed], low, high)
                rows.setdefault((system, seed), {})[column] = pair
    return rows


def rerun_table(rows: Rows, columns: Sequence[str]) -> list[str]:
    r"""Return the rows as Markdown; bold: outside the interval over seeds.

    Example
    -------
    >>> first = {"a": {s: {"x": {"pesq": float(s)}} for s in "123"}}
    >>> rerun = {"a": {"2": {"x": {"pesq": 9.0}}}}
    >>> rows = rerun_rows(first, rerun, ["a"], ["pesq"])
    >>> print(*rerun_table(rows, ["pesq"]), sep="\n")
    | run | PESQ-WB | interval |
    | --- | ---: | ---: |
    | a, 2 | 2.000 / **9.000** | [-0.484, 4.484] |
    """
    heads = [cell for column in columns for cell in (heading(column), "interval")]
    lines = table_head(["run", *heads])
    for (system, seed), row in rows.items():
        cells = [cell for column in columns for cell in _cells(row.get(column))]
        lines.append(table_line([f"{system}, {seed}", *cells]))
    return lines


def _cells(pair: Pair | None) -> list[str]:
    if pair is None:
        return ["", ""]
    mark = "" if pair.is_within else "**"
    return [
        f"{pair.first:.3f} / {mark}{pair.again:.3f}{mark}",
        f"[{pair.low:.3f}, {pair.high:.3f}]",
    ]
