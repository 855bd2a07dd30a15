"""What microphones and lines do to a signal: coloration, clipping, a limited band."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.signal import firwin, lfilter, oaconvolve

_STOPBAND_DB = 80.0
_TRANSITION_HZ = 400.0


def color(signal: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Filter by (1 + b1/z + b2/z^2) / (1 + a1/z + a2/z^2), as RNNoise does [1].

    [1] J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech
    Enhancement", 2018, equation 7

    Arguments
    ---------
    signal : array, `[samples]`
        To be filtered.
    coefficients : sequence of float
        b1, b2, a1, a2; stable for |a1| + |a2| < 1.

    Example
    -------
    >>> color(np.array([1.0, 0, 0]), (0.25, 0, 0, 0)).tolist()
    [1.0, 0.25, 0.0]
    """
    b1, b2, a1, a2 = coefficients
    return lfilter([1, b1, b2], [1, a1, a2], signal).astype(signal.dtype, copy=False)


def clip(signal: np.ndarray, share: float) -> np.ndarray:
    """Limit a signal to a share of its own peak.

    Example
    -------
    >>> clip(np.array([0.1, -0.4, 0.2]), 0.5).tolist()
    [0.1, -0.2, 0.2]
    """
    limit = share * np.abs(signal).max()
    return np.clip(signal, -limit, limit)


def low_pass(signal: np.ndarray, cutoff_hz: float, sample_rate: int) -> np.ndarray:
    """Remove what is above a frequency, by 80 dB from there on, without delay.

    The transition, of 400 Hz, ends at the cut-off.

    Arguments
    ---------
    signal : array, `[samples]`
        To be filtered.
    cutoff_hz : float
        Above 400 Hz, below half the sample rate.
    sample_rate : int
        In Hz.

    Example
    -------
    >>> tone = np.sin(2 * np.pi * 7000 / 16000 * np.arange(16000))
    >>> middle = low_pass(tone, 4000, 16000)[1000:-1000]
    >>> bool(np.abs(middle).max() < 1e-4)  # 80 dB
    True
    """
    taps = _taps(cutoff_hz, sample_rate).astype(signal.dtype)
    delay = len(taps) // 2  # they are symmetric
    return oaconvolve(signal, taps)[delay : delay + len(signal)]


@lru_cache(maxsize=32)
def _taps(cutoff_hz: float, sample_rate: int) -> np.ndarray:
    # Kaiser's formulas for the window of a given attenuation and transition.
    width = 2 * np.pi * _TRANSITION_HZ / sample_rate
    taps = int((_STOPBAND_DB - 7.95) / (2.285 * width)) // 2 * 2 + 3
    beta = 0.1102 * (_STOPBAND_DB - 8.7)
    middle = max(cutoff_hz - _TRANSITION_HZ / 2, _TRANSITION_HZ / 2)
    return firwin(taps, middle, window=("kaiser", beta), fs=sample_rate)
