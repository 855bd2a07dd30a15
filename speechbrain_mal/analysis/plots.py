"""Pictures of a comparison: differences with their intervals, means by group."""

import math
import os
from collections.abc import Mapping

from speechbrain_mal.analysis.comparison import Row
from speechbrain_mal.metrics.registry import HEADINGS, LOWER_IS_BETTER


def figure(columns: int, rows: int, width: float, height: float):
    """Return a figure with a grid of axes, drawn without a screen.

    Raises
    ------
    ModuleNotFoundError
        When matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Pictures need matplotlib: pip install 'speechbrain-mal[eval]'"
        ) from error
    drawing = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return drawing, drawing.subplots(rows, columns, squeeze=False)


def plot_differences(rows: list[Row], control: str, path: str | os.PathLike) -> None:
    """Draw every system's difference to the control, one panel a score.

    Arguments
    ---------
    rows : list of Row
        What `compare` returns.
    control : str
        Its control.
    path : path
        Picture to write; its ending chooses the format.
    """
    rows = [row for row in rows if row.difference is not None]
    columns = list(dict.fromkeys(row.column for row in rows))
    systems = list(dict.fromkeys(row.system for row in rows))
    wide = min(4, max(1, len(columns)))
    drawing, axes = figure(
        wide, max(1, math.ceil(len(columns) / wide)), 3.4, 0.9 + 0.28 * len(systems)
    )
    for axis in axes.flat[len(columns) :]:
        axis.remove()
    for axis, column in zip(axes.flat, columns, strict=False):
        better = "lower" if column in LOWER_IS_BETTER else "higher"
        axis.set_title(f"{HEADINGS.get(column, column)} ({better} is better)", size=8)
        axis.axvline(0, color="black", linewidth=0.8)
        for row in rows:
            if row.column != column:
                continue
            mean, low, high = row.difference
            axis.errorbar(
                mean,
                systems.index(row.system),
                xerr=[[mean - low], [high - mean]],
                fmt="o",
                capsize=3,
                color="tab:blue" if row.p < 0.05 else "tab:gray",
            )
        axis.set_yticks(range(len(systems)), systems, size=8)
        axis.set_ylim(len(systems) - 0.5, -0.5)
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(axis="x", labelsize=7)
    drawing.suptitle(
        f"Difference to {control}, 95 % interval over clips; blue: p < 0.05 (Holm)",
        size=9,
    )
    drawing.savefig(path, dpi=120)


def plot_breakdown(
    means: Mapping[str, Mapping[str, Mapping[str, tuple[float, int]]]],
    key: str,
    path: str | os.PathLike,
) -> None:
    """Draw means by group, one panel a score and one line a system.

    Arguments
    ---------
    means : mapping
        What `breakdown` returns, by column.
    key : str
        What the groups are, under the axis.
    path : path
        Picture to write.
    """
    wide = min(4, max(1, len(means)))
    drawing, axes = figure(wide, max(1, math.ceil(len(means) / wide)), 3.6, 3.0)
    for axis in axes.flat[len(means) :]:
        axis.remove()
    for axis, (column, groups) in zip(axes.flat, means.items(), strict=False):
        for system in next(iter(groups.values())):
            values = [groups[group][system][0] for group in groups]
            axis.plot(
                range(len(groups)), values, marker="o", markersize=3, label=system
            )
        axis.set_xticks(range(len(groups)), groups, rotation=90, size=7)
        axis.set_title(HEADINGS.get(column, column), size=9)
        axis.set_xlabel(key, size=8)
        axis.tick_params(axis="y", labelsize=7)
    axes.flat[0].legend(fontsize=6)
    drawing.savefig(path, dpi=120)
