"""Spectrograms in a grid."""

import os
from collections.abc import Mapping

import numpy as np

from speechbrain_mal.analysis.plots import figure


def decibels(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return a spectrogram in dB, of windows of 25 ms every 10 ms.

    Arguments
    ---------
    waveform : np.ndarray
        `[samples]`.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    np.ndarray
        `[frequencies, frames]`, up to half the sampling rate.

    Example
    -------
    >>> decibels(np.sin(np.arange(16000)), 16000).shape
    (513, 103)
    """
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    window = hann(sample_rate // 40, sym=False)
    size = 2 ** (len(window) - 1).bit_length() * 2
    stft = ShortTimeFFT(window, sample_rate // 100, sample_rate, mfft=size)
    return 20 * np.log10(np.abs(stft.stft(waveform)) + 1e-8)


def plot_spectrograms(
    grid: Mapping[str, Mapping[str, np.ndarray | None]],
    sample_rate: int,
    path: str | os.PathLike,
    title: str = "",
    range_db: float = 80.0,
) -> None:
    """Draw waveforms as a grid of spectrograms, and save the picture.

    Each has its colours from its own loudest bin downwards, and states that level: what
    is heard after a change of volume, side by side.

    Arguments
    ---------
    grid : mapping of str to mapping of str to np.ndarray
        Waveforms `[samples]`: `{row: {column: waveform}}`, with the same columns in
        every row; None where there is none.
    sample_rate : int
        Sampling rate in Hz.
    path : path
        Picture to write; its ending chooses the format.
    title : str
        Written above them all.
    range_db : float
        Range of the colour scale in dB.

    Raises
    ------
    ModuleNotFoundError
        When matplotlib is not installed.

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
            axis.imshow(
                level,
                origin="lower",
                aspect="auto",
                cmap="magma",
                extent=(0, len(row[name]) / sample_rate, 0, sample_rate / 2000),
                vmin=level.max() - range_db,
                vmax=level.max(),
            )
            axis.text(
                *(0.98, 0.95),
                f"peak {level.max():.0f} dB",
                transform=axis.transAxes,
                ha="right",
                va="top",
                color="white",
                size=7,
            )
        row_axes[0].set_ylabel(f"{label}\nfrequency in kHz".strip(), size=8)
    for name, top, bottom in zip(names, axes[0], axes[-1], strict=True):
        top.set_title(name, size=9)
        bottom.set_xlabel("time in s", size=8)
    drawing.suptitle(f"{title}, {range_db:.0f} dB below each peak".lstrip(", "), size=9)
    drawing.savefig(path, dpi=100)
