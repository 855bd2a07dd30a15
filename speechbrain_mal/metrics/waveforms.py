"""What metrics do to waveforms: check, resample, fit and cut them into frames."""

from collections.abc import Iterator

import numpy as np
from scipy.signal import resample_poly

BLOCK = 1024  # frames at a time: memory that does not grow with the clip


def check_clips(
    metric: str,
    sample_rate: int,
    seconds: tuple[float, float] = (0.0, np.inf),
    **clips: np.ndarray,
) -> None:
    """Raise where a clip is silent, too short or too long for a metric.

    Packages differ: one raises, one returns NaN, one a number that means nothing.

    Arguments
    ---------
    metric : str
        Named in the error.
    sample_rate : int
        In Hz.
    seconds : tuple of float
        Shortest and longest clip.
    **clips : np.ndarray
        Waveforms, `[samples]`, by the name the error gives them.

    Example
    -------
    >>> check_clips("PESQ", 16000, clean=np.zeros(8))
    Traceback (most recent call last):
    ValueError: PESQ: the clean clip is silent
    """
    for name, clip in clips.items():
        if not np.any(clip):
            raise ValueError(f"{metric}: the {name} clip is silent")
        length = len(clip) / sample_rate
        for limit, wrong, word in (
            (seconds[0], length < seconds[0], "at least"),
            (seconds[1], length > seconds[1], "at most"),
        ):
            if wrong:
                raise ValueError(
                    f"{metric}: the {name} clip has {length:.3f} s, and {word} "
                    f"{limit:g} s can be scored"
                )


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


def loizou_frames(
    metric: str, enhanced: np.ndarray, clean: np.ndarray, sample_rate: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield 30 ms frames of two clips, Hann windowed, 75 % overlapping.

    As in the programs of P. C. Loizou ("Speech Enhancement: Theory and Practice", 2nd
    ed., CRC Press 2013, chapter 11): the window has no zeros at its ends, the last
    whole frame is left out, and 2.2e-16 (MATLAB's `eps`) is added to every sample, so
    that digital silence has a spectrum. Raises ValueError when the clean clip is silent
    or shorter than two frames, 37.5 ms.

    Example
    -------
    >>> enhanced, clean = next(loizou_frames("LLR", *np.ones((2, 16000)), 16000))
    >>> clean.shape
    (129, 480)
    """
    check_clips(metric, sample_rate, (0.0375, np.inf), clean=clean)
    frame_length = round(0.03 * sample_rate)
    hop_length = frame_length // 4
    n_frames = (len(clean) - frame_length) // hop_length
    window = np.hanning(frame_length + 2)[1:-1]
    end = (n_frames - 1) * hop_length + frame_length
    epsilon = np.finfo(np.float64).eps
    yield from zip(
        windowed_frames(enhanced[:end] + epsilon, window, hop_length),
        windowed_frames(clean[:end] + epsilon, window, hop_length),
        strict=True,
    )
