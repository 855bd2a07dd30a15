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
from functools import lru_cache

import numpy as np
from scipy.signal import lfilter

from speechbrain_mal.metrics.composite import windowed_frames
from speechbrain_mal.metrics.dtw import fast_dtw

EPSILON = 1e-8
FRAME_LENGTH, HOP_LENGTH = 1024, 256  # of MCD
FLOOR = 1e-6  # added to the periodogram
MAX_STEPS, TOLERANCE = 30, 1e-3  # of the residual's mean power; SPTK's defaults
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
    estimate, also the clean clip itself.

    Example
    -------
    >>> clean = np.random.default_rng(0).standard_normal(16000)
    >>> round(lsd(-0.3 * clean, clean, 16000), 3)
    0.0
    """
    clips = _scaled(enhanced, clean), clean
    distances = []
    spectra = (_magnitudes(clip, sample_rate) for clip in clips)
    for scaled, reference in zip(*spectra, strict=True):
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
    48000 Hz, and is undefined at others, and for clips shorter than a frame: frames
    have 1024 samples, 256 apart, at any.

    Example
    -------
    >>> clean = np.random.default_rng(0).standard_normal(16000)
    >>> round(mcd(-0.3 * clean, clean, 16000), 3)
    0.0
    """
    if sample_rate not in ANALYSIS:
        raise ValueError(
            f"not defined at {sample_rate} Hz: resample to one of {[*ANALYSIS]}"
        )
    if len(clean) < FRAME_LENGTH:
        raise ValueError(
            f"a clip has {len(clean)} samples, and {FRAME_LENGTH} or more can be scored"
        )
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


def mel_cepstrum(
    frames: np.ndarray, order: int, warping: float, floor: float
) -> np.ndarray:
    """Return the mel-cepstra of windowed frames (Fukada et al., ICASSP 1992).

    The spectrum `ln H(w) = sum_m c_m cos(m w')` over the warped frequency
    `w' = w + 2 atan(a sin w / (1 - a cos w))` is fitted to a periodogram `P` by
    minimising `mean_w (P / H^2 + ln H^2)`, by Newton's method. What SPTK's `mcep`
    computes, for all frames at once.

    Of frames `[frames, frame_length]`, of even length, the result is
    `[frames, order + 1]`, the first coefficient the log gain. The `warping` `a` is from
    0 (none) to below 1; 0.42 at 16 kHz is near the mel scale. The `floor`, above 0, is
    added to the periodogram: digital silence has no logarithm.

    Example
    -------
    >>> impulse = np.zeros((1, 64))
    >>> impulse[0, 0] = np.e
    >>> mel_cepstrum(impulse, 2, 0.42, 1e-9).round(3) + 0
    array([[1., 0., 0.]])
    """
    frame_length = frames.shape[1]
    spectrum = np.fft.rfft(frames)
    power = spectrum.real**2 + spectrum.imag**2 + floor
    cepstrum = np.fft.irfft(np.log(power))[:, : frame_length // 2 + 1]
    cepstrum[:, [0, -1]] /= 2
    coefficients = cepstrum @ _warped_powers(frame_length // 2 + 1, order + 1, warping)

    cosines = _warped_cosines(frame_length, 2 * order + 1, warping)
    ends = np.full(frame_length // 2 + 1, 2.0)  # both halves of the spectrum
    ends[[0, -1]] = 1
    i, j = np.indices((order + 1, order + 1))
    target = (-warping) ** np.arange(order + 1)
    active = np.arange(len(frames))
    gain = cepstrum[:, 0]
    for step in range(1, MAX_STEPS + 1):
        log_spectrum = coefficients[active] @ cosines[: order + 1]
        residual = power[active] / np.exp(2 * log_spectrum)
        lags = (residual * ends) @ cosines.T / frame_length
        if step > 1:
            moving = np.abs(lags[:, 0] - gain) >= TOLERANCE * np.abs(lags[:, 0])
            active, lags, gain = active[moving], lags[moving], lags[moving, 0]
            if not len(active):
                break
        curvature = lags[:, np.abs(i - j)] + lags[:, i + j]
        slope = (lags[:, : order + 1] - target)[..., None]
        coefficients[active] += np.linalg.solve(curvature, slope)[..., 0]
    return coefficients


@lru_cache
def _warped_powers(n_linear: int, n_warped: int, warping: float) -> np.ndarray:
    """Return a linear delay's powers in warped delays, `[linear, warped]`."""
    powers = np.zeros((n_linear, n_warped))
    powers[0, 0] = 1
    for k in range(1, n_linear):  # each through the all-pass (z^-1 + a) / (1 + a z^-1)
        powers[k] = lfilter([warping, 1], [1, warping], powers[k - 1])
    return powers


@lru_cache
def _warped_cosines(frame_length: int, n_cosines: int, warping: float) -> np.ndarray:
    omega = 2 * np.pi * np.arange(frame_length // 2 + 1) / frame_length
    bend = np.arctan2(warping * np.sin(omega), 1 - warping * np.cos(omega))
    return np.cos(np.arange(n_cosines)[:, None] * (omega + 2 * bend))
