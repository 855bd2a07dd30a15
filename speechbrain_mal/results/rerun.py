"""The same seeds trained anew elsewhere, and whether each row is found again.

A seed fixes the data's order and the first weights, not the order of sums, which
depends on the processor and the number of threads: after many epochs the weights
differ as those of two seeds do. So a rerun is held to the interval over seeds, and its
systems are compared with the control of the rerun, which has the same baseline.
"""

from collections.abc import Mapping, Sequence

from speechbrain_mal.analysis.comparison import table_head, table_line
from speechbrain_mal.experiment.definition import Experiment
from speechbrain_mal.results.sections import against_control
from speechbrain_mal.results.seeds import Runs, seed_means, t_interval
from speechbrain_mal.results.tables import Differences, heading


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
    means = outside = 0
    for name in experiment.sets:
        again = sets.get(rerun_name(name), {})
        if lines := rerun_table(sets.get(name, {}), again, systems, columns):
            parts += [f"### {rerun_name(name)}", "\n".join(lines)]
            outside += sum(line.count("/ **") for line in lines)
            means += sum(line.count(" / ") for line in lines)
        if found := against_control(experiment, columns, differences, rerun_name(name)):
            parts += [
                f"Differences to the rerun's own `{experiment.control}`, p corrected "
                "over this section:",
                *found,
            ]
    if len(parts) == 1:
        return ["There are no scores."]
    within = f"{means - outside} of {means} means lie within the interval."
    return [parts[0], within, *parts[1:]]


def rerun_table(
    first: Runs, rerun: Runs, systems: Sequence[str], columns: Sequence[str]
) -> list[str]:
    r"""Return each rerun's means beside those of the first training.

    Arguments
    ---------
    first, rerun : dict
        Scores by system and seed.
    systems, columns : sequence of str
        Rows, those that both have, and columns.

    Returns
    -------
    list of str
        Markdown, a row a run; a mean outside the interval over the first's seeds (which
        needs two) is bold. Empty where there is no run of both.

    Example
    -------
    >>> first = {"a": {s: {"x": {"pesq": float(s)}} for s in "123"}}
    >>> rerun = {"a": {"2": {"x": {"pesq": 9.0}}}}
    >>> print(*rerun_table(first, rerun, ["a"], ["pesq"]), sep="\n")
    | run | PESQ-WB | interval |
    | --- | ---: | ---: |
    | a, 2 | 2.000 / **9.000** | [-0.484, 4.484] |
    """
    heads = [cell for column in columns for cell in (heading(column), "interval")]
    lines = table_head(["run", *heads])
    start = len(lines)
    for system in systems:
        known, found = first.get(system, {}), rerun.get(system, {})
        for seed in sorted(set(known) & set(found)):
            cells = [f"{system}, {seed}"]
            for column in columns:
                cells += _pair(known, found, seed, column)
            lines.append(table_line(cells))
    return lines if len(lines) > start else []


def _pair(
    known: Mapping[str, dict], found: Mapping[str, dict], seed: str, column: str
) -> list[str]:
    """Return both means of a run, and the interval over the first's seeds."""
    before = seed_means(known, column)
    after = seed_means({seed: found[seed]}, column)
    if seed not in before or seed not in after:
        return ["", ""]
    _, low, high = t_interval(list(before.values()))
    mark = "" if low <= after[seed] <= high else "**"
    return [
        f"{before[seed]:.3f} / {mark}{after[seed]:.3f}{mark}",
        f"[{low:.3f}, {high:.3f}]",
    ]
