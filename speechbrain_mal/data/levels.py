"""The power of speech while somebody speaks."""

from __future__ import annotations

import numpy as np

_FRAME_SECONDS = 0.02
_RANGE_DB = 40  # frames so far below the loudest are pauses: what STOI leaves out, too


def power(signal: np.ndarray) -> float:
    """Return the mean square of a signal `[samples]`, in double precision."""
    # Not np.dot: its sum depends on the number of BLAS threads.
    return float(np.mean(np.square(signal, dtype=np.float64)))


def active_power(signal: np.ndarray, sample_rate: int) -> float:
    """Return the mean square of speech over its active frames.

    A frame of 20 ms is active if its power is within 40 dB of that of the loudest, the
    range of STOI [1]. What is left at the end, shorter than a frame, is not looked at.

    [1] C. Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency
    Weighted Noisy Speech", IEEE TASLP 2011, section II.A

    Arguments
    ---------
    signal : array, `[samples]`
        Clean speech.
    sample_rate : int
        In Hz.

    Example
    -------
    >>> speech = np.concatenate([np.full(8000, 0.1), np.zeros(8000)])
    >>> round(active_power(speech, 16000), 6), round(power(speech), 6)
    (0.01, 0.005)
    """
    powers = _frame_powers(signal, sample_rate)
    active = powers >= powers.max() * 10 ** (-_RANGE_DB / 10)
    return float(powers[active].mean())


def _frame_powers(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    frame = min(round(_FRAME_SECONDS * sample_rate), len(signal))
    frames = signal[: len(signal) // frame * frame].reshape(-1, frame)
    return np.mean(np.square(frames, dtype=np.float64), axis=1)
