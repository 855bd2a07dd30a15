"""A model that is fed its own output, pass by pass."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from tqdm.auto import tqdm

from speechbrain_mal.metrics.clips import read_mono

MAX_PEAK = 100.0  # as of `audio.AudioFile`

Enhance = Callable[[np.ndarray, int], np.ndarray]


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
    clip has no further passes. A call that was stopped goes on behind the last pass
    that it kept of every clip, and ends with the same files.

    Arguments
    ---------
    enhance : callable
        Float32 waveform `[samples]` and its sampling rate in Hz, to a waveform of the
        same length, aligned.
    noisy : mapping of str to path
        Files by the name of the clip.
    keep : sequence of int
        Passes to keep, ascending; the last is the last there is.
    folder : path
        `<pass>/<clip>.wav` is written there, in 32-bit float.
    label : str
        Beside the progress bar.
    progressbar : bool
        Whether to show one.

    Returns
    -------
    dict of str to int
        The pass at which a clip diverged, for those that did.

    Raises
    ------
    ValueError
        When a file can't be read, or a pass changes the length.
    """
    folder, diverged = Path(folder), {}
    total = len(noisy) * keep[-1]
    with tqdm(total=total, desc=label, unit="pass", disable=not progressbar) as bar:
        for clip, source in noisy.items():
            files = {number: folder / f"{number:03}" / f"{clip}.wav" for number in keep}
            done = max((n for n in keep if files[n].exists()), default=None)
            waveform, rate = read_mono(source if done is None else files[done])
            if done is None:
                _write(files[0], waveform, rate)
            bar.update(done or 0)
            for number in range((done or 0) + 1, keep[-1] + 1):
                length = len(waveform)
                waveform = enhance(waveform, rate)
                if len(waveform) != length:
                    raise ValueError(
                        f"Pass {number} of {clip} made {len(waveform)} samples of "
                        f"{length}."
                    )
                if not np.abs(waveform).max() <= MAX_PEAK:  # or NaN
                    diverged[clip] = number
                    bar.update(keep[-1] - number + 1)
                    break
                if number in files:
                    _write(files[number], waveform, rate)
                bar.update()
    return diverged


def _write(path: Path, waveform: np.ndarray, rate: int) -> None:
    """Write a float file that is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    soundfile.write(partial, waveform, rate, subtype="FLOAT", format="WAV")
    partial.replace(path)


def keeping_level(enhance: Enhance) -> Enhance:
    """Return an enhancer whose output has the level (RMS) of its input.

    A model that amplifies a little what it keeps leaves, pass by pass, the range of
    levels that it was trained on, and after some twenty passes that of 32-bit floats.
    With this, what is heard after a hundred passes is what it does to the sound. The
    paper does not say what it does about the level.

    Example
    -------
    >>> louder = keeping_level(lambda waveform, sample_rate: 2 * waveform)
    >>> louder(np.float32([0.5, -0.5]), 16000)
    array([ 0.5, -0.5], dtype=float32)
    """

    def enhanced(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        output = enhance(waveform, sample_rate)
        level = _rms(output)
        return output * np.float32(_rms(waveform) / level) if level > 0 else output

    return enhanced


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
