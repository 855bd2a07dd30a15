"""What metrics do to waveforms: resample them, and cut them into frames."""

from collections.abc import Iterator

import numpy as np
from scipy.signal import resample_poly

BLOCK = 1024  # frames at a time: memory that does not grow with the clip


def resample(clip: np.ndarray, sample_rate: int, target_rate: int) -> np.ndarray:
    """Resample a clip by `scipy.signal.resample_poly`, from one rate in Hz to another.

    Example
    -------
    >>> resample(np.ones(480), 48000, 16000).shape
    (160,)
    """
    if sample_rate == target_rate:
        return clip
    return resample_poly(clip, target_rate, sample_rate)


def windowed_frames(
    clip: np.ndarray, window: np.ndarray, hop_length: int
) -> Iterator[np.ndarray]:
    """Yield the whole frames of a clip times a window, `[frames, len(window)]`.

    At most 1024 frames at a time. The clip is at least as long as the window.

    Example
    -------
    >>> next(windowed_frames(np.arange(5), np.ones(3), hop_length=2))
    array([[0., 1., 2.],
           [2., 3., 4.]])
    """
    frames = np.lib.stride_tricks.sliding_window_view(clip, len(window))[::hop_length]
    for start in range(0, len(frames), BLOCK):
        yield frames[start : start + BLOCK] * window
