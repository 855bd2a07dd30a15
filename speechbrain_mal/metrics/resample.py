"""Other sampling rates than a metric's own."""

import numpy as np
from scipy.signal import resample_poly


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Return a waveform, `[samples]`, at another rate in Hz, by `resample_poly`.

    Example
    -------
    >>> resample(np.ones(480), 48000, 16000).shape
    (160,)
    """
    if from_rate == to_rate:
        return waveform
    return resample_poly(waveform, to_rate, from_rate)
