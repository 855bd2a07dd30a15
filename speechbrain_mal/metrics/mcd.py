"""Mel-cepstral distortion, by the URGENT Challenge's definition (2024 and 2025).

The enhanced clip is first scaled to fit the clean one best (without alignment: a delay
misleads the scale). The mel-cepstra of both, the log gain included, are aligned by
dynamic time warping, and

`MCD = 10 / ln 10 * mean_steps sqrt(2 sum_m (c_m - c'_m)^2)`.

Frames of 1024 samples, 256 apart, whatever the rate; Hamming window of unit energy,
and 1e-6 added to the periodogram.
"""

import numpy as np

from speechbrain_mal.metrics.dtw import fast_dtw
from speechbrain_mal.metrics.frames import windowed_frames
from speechbrain_mal.metrics.mel_cepstrum import mel_cepstrum
from speechbrain_mal.metrics.scaling import least_squares_scaled
from speechbrain_mal.metrics.silence import refuse_silence

FRAME_LENGTH, HOP_LENGTH = 1024, 256
FLOOR = 1e-6
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


def mcd(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """MCD of one clip.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`, at least 1024.
    sample_rate : int
        Sampling rate in Hz: 8000, 16000, 22050, 24000, 32000, 44100 or 48000. The
        definition changes with it, so values at different rates don't compare.

    Returns
    -------
    float
        In dB, from 0, lower is better.

    Raises
    ------
    ValueError
        When the clean clip is silent or shorter than a frame, or at another rate.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(16000)
    >>> round(mcd(-0.3 * clean, clean, 16000), 3)
    0.0
    >>> 0.5 < mcd(clean + 0.3 * rng.standard_normal(16000), clean, 16000) < 1
    True
    """
    refuse_silence("MCD", clean=clean)
    if sample_rate not in ANALYSIS:
        raise ValueError(
            f"MCD: not defined at {sample_rate} Hz: resample to one of {[*ANALYSIS]}"
        )
    if len(clean) < FRAME_LENGTH:
        raise ValueError(f"MCD: the clip is shorter than {FRAME_LENGTH} samples")
    reference = _mel_cepstra(clean, sample_rate)
    estimate = _mel_cepstra(least_squares_scaled(enhanced, clean), sample_rate)
    rows, columns = fast_dtw(reference, estimate)
    squares = np.sum((reference[rows] - estimate[columns]) ** 2, axis=1)
    return float(10 / np.log(10) * np.mean(np.sqrt(2 * squares)))


def _mel_cepstra(clip: np.ndarray, sample_rate: int) -> np.ndarray:
    window = np.hamming(FRAME_LENGTH)
    window /= np.linalg.norm(window)
    blocks = windowed_frames(clip, window, HOP_LENGTH)
    order, warping = ANALYSIS[sample_rate]
    return np.concatenate([mel_cepstrum(x, order, warping, FLOOR) for x in blocks])
