"""The self-consistency experiment: a model is fed its own output, many times over.

A model that leaves clean speech as it is would converge; every real one ends up
destroying it (S. R. Phaye, M. Cernak, A. Harper, Interspeech 2025, section 4).
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from speechbrain.utils.logger import get_logger

from speechbrain_mal.analysis.passes import Enhance, enhance_repeatedly, passes_to_keep
from speechbrain_mal.analysis.plots import figure
from speechbrain_mal.analysis.spectrograms import plot_spectrograms
from speechbrain_mal.files import write_text
from speechbrain_mal.metrics import Clip, ScoreTable, evaluate
from speechbrain_mal.metrics.clips import read_mono
from speechbrain_mal.metrics.registry import HEADINGS

logger = get_logger(__name__)


def self_consistency(
    systems: Mapping[str, Enhance],
    noisy: Mapping[str, Path],
    clean: Mapping[str, Path],
    passes: int,
    metrics: Sequence[str],
    folder: str | os.PathLike,
    options: dict[str, dict] | None = None,
    jobs: int = 1,
    progressbar: bool = False,
) -> dict[str, dict[int, ScoreTable]]:
    """Run the experiment and draw the paper's two figures.

    Into the folder go `passes.csv`, the means of every system after every pass that is
    scored; `passes.png`, a curve a system; and `spectrograms.png` of the first clip
    after 0, 1, 10 and all passes, a column a system.

    Arguments
    ---------
    systems : mapping of str to callable
        What enhances, by name, as of `enhance_repeatedly`.
    noisy, clean : mapping of str to path
        Files by the name of the clip; clips without a clean one have no score that
        needs it.
    passes : int
        How often each clip is enhanced.
    metrics, options, jobs, progressbar
        As of `metrics.evaluate`.
    folder : path
        Where to write; a call that was stopped goes on where it was.

    Returns
    -------
    dict of str to dict of int to ScoreTable
        Scores by system and pass.
    """
    folder = Path(folder)
    keep = passes_to_keep(passes)
    tables: dict[str, dict[int, ScoreTable]] = {}
    for name, enhance in systems.items():
        place = folder / name
        diverged = enhance_repeatedly(enhance, noisy, keep, place, name, progressbar)
        for clip, number in diverged.items():
            logger.warning(
                f"{name} diverged on {clip} at pass {number}: no scores from there on."
            )
        tables[name] = {}
        clips = {
            number: [
                Clip(
                    f"{number:03}/{clip}",
                    place / f"{number:03}" / f"{clip}.wav",
                    clean.get(clip),
                )
                for clip in noisy
            ]
            for number in keep
        }
        every = [clip for group in clips.values() for clip in group]
        progress = place / "progress.jsonl"
        evaluate(every, metrics, options, jobs, progress, progressbar)
        for number, group in clips.items():  # each is known by now
            tables[name][number] = evaluate(group, metrics, options, 1, progress)
    _write_means(tables, folder / "passes.csv")
    plot_passes(tables, folder / "passes.png")
    shown = [number for number in (0, 1, 10) if number < passes] + [passes]
    grid, rate = _waveforms(systems, shown, next(iter(noisy)), folder)
    plot_spectrograms(grid, rate, folder / "spectrograms.png", next(iter(noisy)))
    return tables


def pass_rows(by_pass: Mapping[int, ScoreTable]) -> list[list[str]]:
    """Return the rows of a table by pass: `pass`, `clips`, the mean of every column.

    `clips` is the number of those that have all scores.

    Arguments
    ---------
    by_pass : mapping of int to ScoreTable
        Scores of one system, in the order of the passes.
    """
    columns = next(iter(by_pass.values())).columns
    rows = [["pass", "clips", *columns]]
    for number, table in by_pass.items():
        means = table.means()
        clips = sum(
            not any(map(math.isnan, row.values())) for row in table.rows.values()
        )
        rows.append([str(number), str(clips), *(f"{means[c]:.4f}" for c in columns)])
    return rows


def _write_means(tables: dict[str, dict[int, ScoreTable]], path: Path) -> None:
    lines = []
    for name, by_pass in tables.items():
        head, *rows = pass_rows(by_pass)
        lines = lines or [["system", *head]]
        lines += [[name, *row] for row in rows]
    write_text(path, "\n".join(map(",".join, lines)) + "\n")


def _waveforms(
    systems: Mapping[str, Enhance], shown: Sequence[int], clip: str, folder: Path
) -> tuple[dict[str, dict[str, np.ndarray | None]], int]:
    """Return one clip's waveforms, None where diverged, and their sampling rate."""
    grid: dict[str, dict[str, np.ndarray | None]] = {}
    rate = 0
    for number in shown:
        row = grid[f"{number} passes" if number != 1 else "1 pass"] = {}
        for name in systems:
            path = folder / name / f"{number:03}" / f"{clip}.wav"
            row[name] = None
            if path.exists():
                row[name], rate = read_mono(path)
    return grid, rate


def plot_passes(
    tables: Mapping[str, Mapping[int, ScoreTable]], path: str | os.PathLike
) -> None:
    """Draw mean scores against the number of passes, one panel a score.

    A curve ends where the first clip is lost: the mean of those that are left would be
    of other clips.

    Arguments
    ---------
    tables : mapping
        Scores by system and pass.
    path : path
        Picture to write.
    """
    columns = next(iter(next(iter(tables.values())).values())).columns
    wide = min(3, len(columns))
    drawing, axes = figure(wide, -(-len(columns) // wide), 4.2, 3.2)
    for axis in axes.flat[len(columns) :]:
        axis.remove()
    for axis, column in zip(axes.flat, columns, strict=False):
        for name, by_pass in tables.items():
            whole = by_pass[0].scored(column)
            means = {
                number: table.means()[column]
                for number, table in by_pass.items()
                if table.scored(column) == whole
            }
            axis.plot(list(means), list(means.values()), "o-", markersize=3, label=name)
        axis.set_xscale("symlog", linthresh=10)
        ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300) if tick <= max(by_pass)]
        axis.set_xticks(ticks, ticks)
        axis.set_xlim(-0.3, 1.1 * max(by_pass))
        axis.set_xlabel("passes", size=8)
        axis.set_title(HEADINGS.get(column, column), size=9)
        axis.tick_params(labelsize=7)
    axes.flat[0].legend(fontsize=7)
    drawing.savefig(path, dpi=120)
