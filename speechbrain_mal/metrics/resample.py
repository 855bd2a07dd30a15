"""Resampling for metrics that are defined at one rate."""

import numpy as np
from scipy.signal import resample_poly


def resample(clip: np.ndarray, sample_rate: int, target_rate: int) -> np.ndarray:
    """Resample a clip by `scipy.signal.resample_poly`; its length follows the rate.

    Arguments
    ---------
    clip : np.ndarray
        Waveform, `[samples]`.
    sample_rate, target_rate : int
        What it has and what it gets, in Hz.

    Returns
    -------
    np.ndarray
        `[ceil(samples * target_rate / sample_rate)]`; the clip itself where the rates
        are equal.

    Example
    -------
    >>> resample(np.ones(480), 48000, 16000).shape
    (160,)
    """
    if sample_rate == target_rate:
        return clip
    return resample_poly(clip, target_rate, sample_rate)
