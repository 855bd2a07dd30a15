"""Log-spectral distance, by the URGENT Challenge's definition (2024 and 2025).

The enhanced clip is first scaled to fit the clean one best (without alignment: a delay
misleads the scale), then

`LSD = mean_t sqrt(mean_f ln(S^2 / (E + eps)^2 + eps)^2)`

with the magnitudes `S` and `E` of centred frames of 32 ms, periodic Hann window, 16 ms
apart, and `eps = 1e-8`. Natural logarithms of powers: not decibels.
"""

from collections.abc import Iterator

import numpy as np

from speechbrain_mal.metrics.frames import windowed_frames
from speechbrain_mal.metrics.scaling import least_squares_scaled
from speechbrain_mal.metrics.silence import refuse_silence

EPSILON = 1e-8


def lsd(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """LSD of one clip.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Sampling rate in Hz; frames have the same duration at any.

    Returns
    -------
    float
        From 0, lower is better. A frame in which the clean clip is digitally silent
        counts 18.4 whatever the estimate, also the clean clip itself.

    Raises
    ------
    ValueError
        When the clean clip is silent.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(16000)
    >>> round(lsd(-0.3 * clean, clean, 16000), 3)
    0.0
    >>> 0.5 < lsd(clean + 0.3 * rng.standard_normal(16000), clean, 16000) < 1
    True
    """
    refuse_silence("LSD", clean=clean)
    enhanced = least_squares_scaled(enhanced, clean)
    distances = []
    for scaled, reference in zip(
        _magnitudes(enhanced, sample_rate), _magnitudes(clean, sample_rate), strict=True
    ):
        logarithm = np.log(reference**2 / (scaled + EPSILON) ** 2 + EPSILON)
        distances.append(np.sqrt(np.mean(logarithm**2, axis=1)))
    return float(np.concatenate(distances).mean())


def _magnitudes(clip: np.ndarray, sample_rate: int) -> Iterator[np.ndarray]:
    frame_length, hop_length = int(0.032 * sample_rate), int(0.016 * sample_rate)
    window = np.hanning(frame_length + 1)[:-1]
    padded = np.pad(clip, frame_length // 2)
    for frames in windowed_frames(padded, window, hop_length):
        yield np.abs(np.fft.rfft(frames))
