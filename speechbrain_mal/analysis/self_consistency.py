"""The self-consistency experiment: a model is fed its own output, many times over.

A model that leaves clean speech as it is would converge; every real one ends up
destroying it (S. R. Phaye, M. Cernak, A. Harper, Interspeech 2025, section 4).
"""

import csv
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from speechbrain_mal.analysis.plots import plot_lines, plot_spectrograms
from speechbrain_mal.audio import OutputFormat, write_audio
from speechbrain_mal.files import printable, write_text
from speechbrain_mal.metrics import Clip, ScoreTable, evaluate
from speechbrain_mal.metrics.clips import read_mono
from speechbrain_mal.metrics.registry import check_metrics, columns
from speechbrain_mal.metrics.text import check_system, to_cell

logger = logging.getLogger(__name__)

Enhance = Callable[[np.ndarray, int], np.ndarray]
Tables = dict[str, dict[int, ScoreTable]]  # by system and pass
MAX_PEAK = 100.0  # as of `audio.AudioFile`


def passes_to_keep(passes: int) -> list[int]:
    """Return the passes that are scored: each at first, then ever fewer.

    Example
    -------
    >>> passes_to_keep(30)
    [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30]
    """
    steps = [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, *range(20, 101, 10), *range(125, 9999, 25)]
    return sorted({step for step in steps if step < passes} | {passes})


def enhance_repeatedly(
    enhance: Enhance,
    noisy: Mapping[str, Path],
    keep: Sequence[int],
    folder: str | os.PathLike,
    label: str = "",
    progressbar: bool = False,
) -> dict[str, int]:
    """Feed a model its own output, and keep some of the passes as files.

    What goes from pass to pass is the float waveform as it is: no clipping, no change
    of level, no rounding. Pass 0 is the noisy clip. Where a pass is beyond 100 times
    full scale, which no command reads, because the level grew from pass to pass, the
    clip has no further passes; one that can't be read has none. A call that was stopped
    goes on behind the last pass that it kept of every clip, and ends with the same
    files.

    Arguments
    ---------
    enhance : callable
        Float32 waveform `[samples]` and its rate in Hz, to an aligned waveform of the
        same length; a ValueError where it is of another.
    noisy : mapping of str to path
        Files by the name of the clip.
    keep : sequence of int
        Passes to keep, ascending; the last is the last there is.
    folder : path
        `<pass>/<clip>.wav` is written there, in 32-bit float.
    label, progressbar : str, bool
        Whether to show a progress bar, and what stands beside it.

    Returns
    -------
    dict of str to int
        The pass at which a clip diverged, for those that did.
    """
    folder, diverged, last = Path(folder), {}, keep[-1]
    total = len(noisy) * last
    with tqdm(total=total, desc=label, unit="pass", disable=not progressbar) as bar:
        for clip, source in noisy.items():
            files = {number: _file(folder, number, clip) for number in keep}
            done = max((n for n in keep if files[n].exists()), default=None)
            try:
                waveform, rate = read_mono(source if done is None else files[done])
            except ValueError as error:
                logger.warning(f"{error} It has no passes.")
                bar.update(last)
                continue
            if done is None:
                _write(files[0], waveform, rate)
            bar.update(done or 0)
            for number in range((done or 0) + 1, last + 1):
                length = len(waveform)
                waveform = enhance(waveform, rate)
                if len(waveform) != length:
                    raise ValueError(
                        f"Pass {number} of {clip} made {len(waveform)} samples of "
                        f"{length}."
                    )
                if not np.abs(waveform).max() <= MAX_PEAK:  # or NaN
                    diverged[clip] = number
                    bar.update(last - number + 1)
                    break
                if number in files:
                    _write(files[number], waveform, rate)
                bar.update()
    return diverged


def _file(folder: Path, number: int, clip: str) -> Path:
    return folder / f"{number:03}" / f"{clip}.wav"


def _write(path: Path, waveform: np.ndarray, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_audio(path, OutputFormat(rate, 1, "WAV", "FLOAT")) as output:
        output.write(waveform)


def keeping_level(enhance: Enhance) -> Enhance:
    """Return an enhancer whose output has the level (RMS) of its input.

    A model that amplifies a little what it keeps leaves, pass by pass, the range of
    levels that it was trained on, and after some twenty passes that of 32-bit floats.
    With this, what is heard after a hundred passes is what it does to the sound.

    Example
    -------
    >>> louder = keeping_level(lambda waveform, sample_rate: 2 * waveform)
    >>> louder(np.float32([0.5, -0.5]), 16000)
    array([ 0.5, -0.5], dtype=float32)
    """

    def rms(waveform: np.ndarray) -> float:
        return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))

    def enhanced(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        output = enhance(waveform, sample_rate)
        level = rms(output)
        return output * np.float32(rms(waveform) / level) if level > 0 else output

    return enhanced


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
) -> Tables:
    """Run the experiment and draw the paper's two figures.

    Into the folder go `passes.csv`, the means of every system after every pass that is
    scored; `passes.png`, a curve a system, which ends where the first clip is lost (the
    mean of those that are left would be of other clips); and `spectrograms.png` of the
    first clip after 0, 1, 10 and all passes, a column a system.

    `systems` are what enhances, by name, as of `enhance_repeatedly`; `noisy` and
    `clean` files by the name of the clip, where clips without a clean one have no score
    that needs it. The other arguments are those of `metrics.evaluate`. A call that was
    stopped goes on where it was. The scores are returned by system and pass.
    """
    check_metrics(metrics, options or {})  # before hours of passes
    for name in systems:
        check_system(name)
    folder, keep = Path(folder), passes_to_keep(passes)
    tables: Tables = {}
    for name, enhance in systems.items():
        place = folder / name
        diverged = enhance_repeatedly(enhance, noisy, keep, place, name, progressbar)
        for clip, number in diverged.items():
            logger.warning(
                f"{printable(name)} diverged on {printable(clip)} at pass {number}: no "
                "scores from there on."
            )
        clips = {
            number: [
                Clip(f"{number:03}/{clip}", _file(place, number, clip), clean.get(clip))
                for clip in noisy
            ]
            for number in keep
        }
        every = [clip for group in clips.values() for clip in group]
        progress = place / "progress.jsonl"
        evaluate(every, metrics, options, jobs, progress, progressbar)
        tables[name] = {  # each is known by now
            number: evaluate(group, metrics, options, 1, progress)
            for number, group in clips.items()
        }
    write_text(folder / "passes.csv", _means_csv(tables))
    curves = {
        column: {name: _curve(by_pass, column) for name, by_pass in tables.items()}
        for column in columns(metrics)
    }
    plot_lines(curves, "passes", folder / "passes.png")
    first = next(iter(noisy))
    grid, rate = {}, 0
    for number in [n for n in (0, 1, 10) if n < passes] + [passes]:
        row = grid[f"{number} passes" if number != 1 else "1 pass"] = {}
        for name in systems:
            path = _file(folder / name, number, first)
            row[name] = None  # where it diverged
            if path.exists():
                row[name], rate = read_mono(path)
    plot_spectrograms(grid, rate, folder / "spectrograms.png", first)
    return tables


def pass_rows(by_pass: Mapping[int, ScoreTable]) -> list[list[str]]:
    """Return one system's table by pass: `pass`, `clips`, the mean of every column.

    `clips` is the number of those that have all scores. The passes, in their order, are
    the keys of `by_pass`.
    """
    rows = [["pass", "clips", *next(iter(by_pass.values())).columns]]
    for number, table in by_pass.items():
        means = (f"{mean:.4f}" for mean in table.means().values())
        whole = [not any(map(math.isnan, row.values())) for row in table.rows.values()]
        rows.append([str(number), str(sum(whole)), *means])
    return rows


def _means_csv(tables: Tables) -> str:
    file = StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    for name, by_pass in tables.items():
        head, *rows = pass_rows(by_pass)
        if not file.tell():
            writer.writerow(["system", *head])
        writer.writerows([to_cell(name), *row] for row in rows)
    return file.getvalue()


def _curve(by_pass: dict[int, ScoreTable], column: str) -> dict[int, float]:
    """Return the mean by pass, of the passes that all clips reached."""
    every = by_pass[0].scored(column)
    means = {n: t.means()[column] for n, t in by_pass.items()}
    return {n: mean for n, mean in means.items() if by_pass[n].scored(column) == every}
