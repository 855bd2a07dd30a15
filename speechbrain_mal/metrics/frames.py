"""Windowed frames, a block at a time: memory that does not grow with the clip.

Also the frames that Loizou's measures share (segmental SNR, LLR, WSS; P. C. Loizou,
"Speech Enhancement: Theory and Practice", 2nd ed., CRC Press 2013, chapter 11).
"""

from collections.abc import Iterator

import numpy as np

BLOCK = 1024  # frames


def windowed_frames(
    clip: np.ndarray, window: np.ndarray, hop_length: int
) -> Iterator[np.ndarray]:
    """Yield the whole frames of a clip, times a window.

    Arguments
    ---------
    clip : np.ndarray
        Waveform, `[samples]`, at least as long as the window.
    window : np.ndarray
        `[frame_length]`.
    hop_length : int
        From frame to frame, in samples.

    Yields
    ------
    np.ndarray
        `[frames, frame_length]`, 1024 frames at most.

    Example
    -------
    >>> next(windowed_frames(np.arange(5), np.ones(3), hop_length=2))
    array([[0., 1., 2.],
           [2., 3., 4.]])
    """
    frames = np.lib.stride_tricks.sliding_window_view(clip, len(window))[::hop_length]
    for start in range(0, len(frames), BLOCK):
        yield frames[start : start + BLOCK] * window


def loizou_frames(
    metric: str, enhanced: np.ndarray, clean: np.ndarray, sample_rate: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield 30 ms frames of two clips, Hann windowed, 75 % overlapping.

    As in Loizou's programs: the window has no zeros at its ends, the last whole frame
    is left out, and 2.2e-16 (MATLAB's `eps`) is added to every sample, so that digital
    silence has a spectrum.

    Arguments
    ---------
    metric : str
        Named in the error.
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Sampling rate in Hz.

    Yields
    ------
    tuple of np.ndarray
        Frames of the enhanced and of the clean clip, both `[frames, frame_length]`.

    Raises
    ------
    ValueError
        When the clips are shorter than two frames, 37.5 ms.

    Example
    -------
    >>> clip = np.ones(16000)
    >>> enhanced, clean = next(loizou_frames("LLR", clip, clip, 16000))
    >>> clean.shape
    (129, 480)
    """
    frame_length = round(0.03 * sample_rate)
    hop_length = frame_length // 4
    n_frames = (len(clean) - frame_length) // hop_length
    if n_frames < 1:
        raise ValueError(f"{metric}: the clip is shorter than 37.5 ms")
    window = np.hanning(frame_length + 2)[1:-1]
    end = (n_frames - 1) * hop_length + frame_length
    epsilon = np.finfo(np.float64).eps
    yield from zip(
        windowed_frames(enhanced[:end] + epsilon, window, hop_length),
        windowed_frames(clean[:end] + epsilon, window, hop_length),
        strict=True,
    )


def mean_of_lowest(values: np.ndarray, share: float = 0.95) -> float:
    """Return the mean of the lowest 95 % of frames, as LLR and WSS are averaged.

    Example
    -------
    >>> mean_of_lowest(np.arange(20))
    9.0
    """
    return float(np.sort(values)[: round(share * len(values))].mean())
