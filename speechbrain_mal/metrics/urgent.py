"""LSD and MCD by the URGENT Challenge's definitions (2024 and 2025).

The enhanced clip is first scaled to fit the clean one best, without alignment: a delay
misleads the scale. Log-spectral distance, with the magnitudes `S` and `E` of centred
frames of 32 ms, periodic Hann window, 16 ms apart, and `eps = 1e-8`:

`LSD = mean_t sqrt(mean_f ln(S^2 / (E + eps)^2 + eps)^2)`.

Mel-cepstral distortion, with the mel-cepstra of both, log gain included, aligned by
dynamic time warping:

`MCD = 10 / ln 10 * mean_steps sqrt(2 sum_m (c_m - c'_m)^2)`.
"""

from collections.abc import Iterator

import numpy as np

from speechbrain_mal.metrics.dtw import fast_dtw
from speechbrain_mal.metrics.mel_cepstrum import mel_cepstrum
from speechbrain_mal.metrics.waveforms import check_clips, windowed_frames

EPSILON = 1e-8
FRAME_LENGTH, HOP_LENGTH = 1024, 256  # of MCD
FLOOR = 1e-6  # added to the periodogram
# Order and warping by the rate in Hz, as the documentation of SPTK advises.
ANALYSIS = {
    8000: (13, 0.31),
    16000: (23, 0.42),
    22050: (34, 0.45),
    24000: (34, 0.46),
    32000: (36, 0.50),
    44100: (39, 0.53),
    48000: (39, 0.55),
}


def lsd(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """LSD, from 0: natural logarithms of powers, not decibels.

    A frame in which the clean clip is digitally silent counts 18.4 whatever the
    estimate, also the clean clip itself. Undefined where the clean clip is silent.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(16000)
    >>> round(lsd(-0.3 * clean, clean, 16000), 3)
    0.0
    >>> 0.5 < lsd(clean + 0.3 * rng.standard_normal(16000), clean, 16000) < 1
    True
    """
    check_clips("LSD", sample_rate, clean=clean)
    clips = _scaled(enhanced, clean), clean
    distances = []
    for scaled, reference in zip(
        *(_magnitudes(clip, sample_rate) for clip in clips), strict=True
    ):
        logarithm = np.log(reference**2 / (scaled + EPSILON) ** 2 + EPSILON)
        distances.append(np.sqrt(np.mean(logarithm**2, axis=1)))
    return float(np.concatenate(distances).mean())


def _scaled(enhanced: np.ndarray, clean: np.ndarray) -> np.ndarray:
    enhanced = enhanced.astype(np.float64)
    return enhanced * ((enhanced @ clean) / (enhanced @ enhanced + EPSILON))


def _magnitudes(clip: np.ndarray, sample_rate: int) -> Iterator[np.ndarray]:
    frame_length, hop_length = int(0.032 * sample_rate), int(0.016 * sample_rate)
    window = np.hanning(frame_length + 1)[:-1]
    padded = np.pad(clip, frame_length // 2)
    for frames in windowed_frames(padded, window, hop_length):
        yield np.abs(np.fft.rfft(frames))


def mcd(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """MCD in dB, from 0.

    The definition changes with the rate, 8000, 16000, 22050, 24000, 32000, 44100 or
    48000 Hz: frames have 1024 samples, 256 apart, at any. Undefined at other rates, and
    where the clean clip is silent or shorter than a frame.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(16000)
    >>> round(mcd(-0.3 * clean, clean, 16000), 3)
    0.0
    >>> 0.5 < mcd(clean + 0.3 * rng.standard_normal(16000), clean, 16000) < 1
    True
    """
    if sample_rate not in ANALYSIS:
        raise ValueError(
            f"MCD: not defined at {sample_rate} Hz: resample to one of {[*ANALYSIS]}"
        )
    check_clips("MCD", sample_rate, (FRAME_LENGTH / sample_rate, np.inf), clean=clean)
    reference = _mel_cepstra(clean, sample_rate)
    estimate = _mel_cepstra(_scaled(enhanced, clean), sample_rate)
    rows, columns = fast_dtw(reference, estimate)
    squares = np.sum((reference[rows] - estimate[columns]) ** 2, axis=1)
    return float(10 / np.log(10) * np.mean(np.sqrt(2 * squares)))


def _mel_cepstra(clip: np.ndarray, sample_rate: int) -> np.ndarray:
    window = np.hamming(FRAME_LENGTH)
    window /= np.linalg.norm(window)
    blocks = windowed_frames(clip, window, HOP_LENGTH)
    order, warping = ANALYSIS[sample_rate]
    return np.concatenate([mel_cepstrum(x, order, warping, FLOOR) for x in blocks])
