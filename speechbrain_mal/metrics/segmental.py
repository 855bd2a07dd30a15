"""Segmental signal-to-noise ratio (Hansen and Pellom, ICSLP 1998).

The mean over frames of `10 log10(sum s^2 / sum (s - e)^2)`, each limited to -10..35 dB.
"""

import numpy as np

from speechbrain_mal.metrics.frames import loizou_frames
from speechbrain_mal.metrics.silence import refuse_silence

LOWEST_DB, HIGHEST_DB = -10.0, 35.0


def segmental_snr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """Segmental SNR of one clip, in frames of 30 ms, Hann windowed, 75 % overlapping.

    Nothing is rescaled first: the definition of Loizou's programs, which Hu and Loizou
    (2008) use in their composite measures. Some Python ports bring both clips to one
    peak before, and give other values where the level is off.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    float
        -10 to 35 dB. Clean speech against itself has 35, less where it is digitally
        silent: those frames count -10, whatever the estimate.

    Raises
    ------
    ValueError
        When the clean clip is silent or shorter than 37.5 ms.

    Example
    -------
    >>> clean = np.sin(np.arange(16000) / 10)
    >>> round(segmental_snr(1.1 * clean, clean, 16000), 1)
    20.0
    """
    refuse_silence("segmental SNR", clean=clean)
    epsilon = np.finfo(np.float64).eps
    ratios = []
    for noisy, speech in loizou_frames("segmental SNR", enhanced, clean, sample_rate):
        noise = speech - noisy
        ratio = np.sum(speech**2, 1) / (np.sum(noise**2, 1) + epsilon)
        ratios.append(10 * np.log10(ratio + epsilon))
    return float(np.concatenate(ratios).clip(LOWEST_DB, HIGHEST_DB).mean())
