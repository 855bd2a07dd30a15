"""Pictures: differences with their intervals, means by group and pass, spectrograms.

The format is that of the path's ending. Without matplotlib, it is an ImportError.
"""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from speechbrain_mal.analysis.comparison import Row
from speechbrain_mal.extras import require
from speechbrain_mal.files import printable
from speechbrain_mal.metrics.registry import HEADINGS, LOWER_IS_BETTER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANGE_DB = 80.0  # of the colours of a spectrogram


def figure(columns: int, rows: int, width: float, height: float):
    """Return a figure with a grid of axes of a width and height in inches each."""
    drawing = require("matplotlib.figure", "eval").Figure(
        figsize=(width * columns, height * rows), layout="constrained"
    )
    return drawing, drawing.subplots(rows, columns, squeeze=False)


def panels(
    columns: list[str], most: int, width: float, height: float
) -> tuple["Figure", Iterator[tuple[str, "Axes"]]]:
    """Return a figure with a panel a column, at most so many beside each other."""
    wide = min(most, max(1, len(columns)))
    drawing, axes = figure(wide, max(1, -(-len(columns) // wide)), width, height)
    for axis in axes.flat[len(columns) :]:
        axis.remove()
    for column, axis in zip(columns, axes.flat, strict=False):
        axis.set_title(HEADINGS.get(column, column), size=9)
        axis.tick_params(labelsize=7)
    return drawing, zip(columns, axes.flat, strict=False)


def plot_differences(rows: list[Row], control: str, path: str | os.PathLike) -> None:
    """Draw every system's difference to the control, one panel a score, of `Row`s."""
    rows = [row for row in rows if row.difference is not None]
    columns = list(dict.fromkeys(row.column for row in rows))
    systems = list(dict.fromkeys(row.system for row in rows))
    drawing, axes = panels(columns, 4, 3.4, 0.9 + 0.28 * len(systems))
    for column, axis in axes:
        better = "lower" if column in LOWER_IS_BETTER else "higher"
        axis.set_title(f"{HEADINGS.get(column, column)} ({better} is better)", size=8)
        axis.axvline(0, color="black", linewidth=0.8)
        for row in rows:
            if row.column == column:
                mean, low, high = row.difference
                axis.errorbar(
                    mean,
                    systems.index(row.system),
                    xerr=[[mean - low], [high - mean]],
                    fmt="o",
                    capsize=3,
                    color="tab:blue" if row.p < 0.05 else "tab:gray",
                )
        axis.set_yticks(range(len(systems)), map(plain, systems), size=8)
        axis.set_ylim(len(systems) - 0.5, -0.5)
        axis.locator_params(axis="x", nbins=4)
    title = f"Difference to {plain(control)}, 95 % interval over clips"
    drawing.suptitle(f"{title}; blue: p < 0.05 (Holm)", size=9)
    drawing.savefig(path, dpi=120)


def plot_lines(
    curves: Mapping[str, Mapping[str, Mapping[str | int, float]]],
    label: str,
    path: str | os.PathLike,
) -> None:
    """Draw means, `{column: {system: {x: mean}}}`, one panel a score, a line a system.

    All systems have the names of groups as `x`, or whole numbers, on a logarithmic
    axis; `label` says under it what they are.
    """
    drawing, axes = panels(list(curves), 4, 3.6, 3.0)
    every = [x for lines in curves.values() for line in lines.values() for x in line]
    numbers = isinstance(every[0], int)
    ticks = list(dict.fromkeys(every))
    if numbers:
        ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300) if tick <= max(every)]
    for column, axis in axes:
        for name, line in curves[column].items():
            places = list(line) if numbers else range(len(line))
            axis.plot(places, list(line.values()), "o-", ms=3, label=plain(name))
        if numbers:
            axis.set_xscale("symlog", linthresh=10)
            axis.set_xticks(ticks, ticks)
            axis.set_xlim(-0.3, 1.1 * max(every))
        else:
            axis.set_xticks(range(len(ticks)), map(plain, ticks), rotation=90, size=7)
        axis.set_xlabel(label, size=8)
    drawing.axes[0].legend(fontsize=6)
    drawing.savefig(path, dpi=120)


def decibels(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return a spectrogram in dB, `[frequencies, frames]`: 25 ms every 10 ms.

    Example
    -------
    >>> decibels(np.sin(np.arange(16000)), 16000).shape
    (513, 103)
    """
    window = signal.windows.hann(sample_rate // 40, sym=False)
    size = 2 ** (len(window) - 1).bit_length() * 2
    stft = signal.ShortTimeFFT(window, sample_rate // 100, sample_rate, mfft=size)
    return 20 * np.log10(np.abs(stft.stft(waveform)) + 1e-8)


def plot_spectrograms(
    grid: Mapping[str, Mapping[str, np.ndarray | None]],
    sample_rate: int,
    path: str | os.PathLike,
    title: str = "",
) -> None:
    """Draw waveforms `[samples]`, `{row: {column: waveform}}`, as spectrograms.

    Each has its colours from its own loudest bin 80 dB downwards, and states that
    level: what is heard after a change of volume, side by side. Every row has the same
    columns; None where there is no waveform.

    Example
    -------
    >>> path = getfixture("tmp_path") / "noise.png"
    >>> plot_spectrograms({"": {"noise": np.random.randn(16000)}}, 16000, path)
    >>> path.exists()
    True
    """
    names = list(next(iter(grid.values())))
    drawing, axes = figure(len(names), len(grid), 3.2, 2.2)
    for (label, row), row_axes in zip(grid.items(), axes, strict=True):
        for name, axis in zip(names, row_axes, strict=True):
            if row[name] is None:
                axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center")
                axis.set(xticks=[], yticks=[])
                continue
            level = decibels(row[name], sample_rate)
            top = level.max()
            axis.imshow(
                level,
                origin="lower",
                aspect="auto",
                cmap="magma",
                extent=(0, len(row[name]) / sample_rate, 0, sample_rate / 2000),
                vmin=top - RANGE_DB,
                vmax=top,
            )
            place = {"transform": axis.transAxes, "ha": "right", "va": "top"}
            axis.text(0.98, 0.95, f"peak {top:.0f} dB", color="w", size=7, **place)
        row_axes[0].set_ylabel(f"{label}\nfrequency in kHz".strip(), size=8)
    for name, top_axis, bottom in zip(names, axes[0], axes[-1], strict=True):
        top_axis.set_title(plain(name), size=9)
        bottom.set_xlabel("time in s", size=8)
    heading = f"{plain(title)}, {RANGE_DB:.0f} dB below each peak".lstrip(", ")
    drawing.suptitle(heading, size=9)
    drawing.savefig(path, dpi=100)


def plain(name: str) -> str:
    """Return a name as matplotlib is to draw it: `$` would begin a formula."""
    return printable(name).replace("$", r"\$")
