"""Pictures of systems that were trained from several seeds."""

import os
from collections.abc import Sequence

from experiments.curves import Curves, mean_passes
from experiments.tables import Differences, heading
from speechbrain_mal.analysis.plots import figure
from speechbrain_mal.metrics.registry import LOWER_IS_BETTER

_DPI = 80  # small files: they are committed


def plot_seed_differences(
    differences: Differences,
    name: str,
    systems: Sequence[str],
    columns: Sequence[str],
    control: str,
    path: str | os.PathLike,
) -> None:
    """Draw differences to the control in a set: bars over clips, a dot a seed.

    Arguments
    ---------
    differences : dict
        Differences by set, system and column.
    name : str
        Of the set.
    systems, columns : sequence of str
        Lines, and panels.
    control : str
        What they are differences to.
    path : path
        Picture to write.
    """
    drawing, axes = figure(len(columns), 1, 3.0, 0.9 + 0.28 * len(systems))
    for axis, column in zip(axes.flat, columns, strict=True):
        better = "lower" if column in LOWER_IS_BETTER else "higher"
        axis.set_title(f"{heading(column)} ({better} is better)", size=7)
        axis.axvline(0, color="black", linewidth=0.8)
        for line, system in enumerate(systems):
            found = differences.get((name, system, column))
            if found is None:
                continue
            low, high = found.over_clips
            if low == low:
                axis.plot([low, high], [line, line], color="tab:blue", linewidth=3)
            seeds = list(found.by_seed.values())
            axis.plot(seeds, [line] * len(seeds), ".", color="black", markersize=5)
        axis.set_yticks(range(len(systems)), systems, size=7)
        axis.set_ylim(len(systems) - 0.5, -0.5)
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(axis="x", labelsize=7)
    drawing.suptitle(
        f"{name}: difference to {control}; bars: 95 % over clips, dots: seeds", size=8
    )
    drawing.savefig(path, dpi=_DPI)


def plot_curves(
    curves: Curves, systems: Sequence[str], columns: Sequence[str], path: os.PathLike
) -> None:
    """Draw scores against the number of passes: a curve a system, its seeds faint.

    A curve ends where a seed lost a clip.

    Arguments
    ---------
    curves : dict
        Rows a pass by system and seed.
    systems, columns : sequence of str
        Curves, and panels.
    path : path
        Picture to write.
    """
    drawing, axes = figure(len(columns), 1, 4.5, 3.4)
    last = 1
    for axis, column in zip(axes.flat, columns, strict=True):
        for number, system in enumerate(systems):
            means = mean_passes(curves.get(system, {}), column)
            if not means:
                continue
            last, color = max(last, *means), f"C{number}"
            for curve in curves[system].values():
                values = [row[column] for row in curve if row["pass"] in means]
                axis.plot(list(means), values, color=color, alpha=0.3, linewidth=0.8)
            axis.plot(
                list(means),
                list(means.values()),
                "o-",
                color=color,
                markersize=3,
                label=system,
            )
        axis.set_xscale("symlog", linthresh=10)
        ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300) if tick <= last]
        axis.set_xticks(ticks, ticks)
        axis.set_xlabel("passes", size=8)
        axis.set_title(heading(column), size=9)
        axis.tick_params(labelsize=7)
    axes.flat[0].legend(fontsize=7)
    drawing.savefig(path, dpi=_DPI)
