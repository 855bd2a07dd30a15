"""Spectrograms side by side, on one scale."""

import os
from collections.abc import Mapping

import numpy as np


def plot_spectrograms(
    waveforms: Mapping[str, np.ndarray],
    sample_rate: int,
    path: str | os.PathLike,
    title: str = "",
    range_db: float = 80.0,
) -> None:
    """Draw one spectrogram a waveform, side by side, and save the picture.

    All share one colour scale, from the loudest bin of any of them downwards.

    Arguments
    ---------
    waveforms : mapping of str to np.ndarray
        Waveforms `[samples]` by the name to write above them.
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
    >>> plot_spectrograms({"noise": np.random.randn(16000)}, 16000, path)
    >>> path.exists()
    True
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Pictures need matplotlib: pip install 'speechbrain-mal[eval]'"
        ) from error
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    window = hann(sample_rate // 40, sym=False)  # 25 ms
    stft = ShortTimeFFT(window, sample_rate // 100, sample_rate, mfft=1024)
    levels = {
        name: 20 * np.log10(np.abs(stft.stft(waveform)) + 1e-8)
        for name, waveform in waveforms.items()
    }
    loudest = max(level.max() for level in levels.values())
    figure = Figure(figsize=(1 + 3.5 * len(levels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    for axis, (name, level) in zip(axes, levels.items(), strict=True):
        seconds = len(waveforms[name]) / sample_rate
        image = axis.imshow(
            level,
            origin="lower",
            aspect="auto",
            cmap="magma",
            extent=(0, seconds, 0, sample_rate / 2000),
            vmin=loudest - range_db,
            vmax=loudest,
        )
        axis.set(title=name, xlabel="time in s")
    axes[0].set_ylabel("frequency in kHz")
    figure.colorbar(image, ax=list(axes), label="level in dB")
    figure.suptitle(title)
    figure.savefig(path, dpi=100)
