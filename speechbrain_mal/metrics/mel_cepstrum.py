"""Mel-cepstral analysis (Fukada, Tokuda, Kobayashi and Imai, ICASSP 1992).

The spectrum `ln H(w) = sum_m c_m cos(m w')` over the warped frequency
`w' = w + 2 atan(a sin w / (1 - a cos w))` is fitted to a periodogram `P` by minimising
`mean_w (P / H^2 + ln H^2)`, by Newton's method. What SPTK's `mcep` computes, for all
frames at once.
"""

from functools import lru_cache

import numpy as np
from scipy.signal import lfilter

MAX_STEPS, TOLERANCE = 30, 1e-3  # of the residual's mean power; SPTK's defaults


def mel_cepstrum(
    frames: np.ndarray, order: int, warping: float, floor: float
) -> np.ndarray:
    """Return the mel-cepstra of windowed frames.

    Arguments
    ---------
    frames : np.ndarray
        `[frames, frame_length]`, of even length.
    order : int
        Of the highest coefficient.
    warping : float
        `a`, 0 (none) to below 1; 0.42 at 16 kHz is near the mel scale.
    floor : float
        Above 0, added to the periodogram: digital silence has no logarithm.

    Returns
    -------
    np.ndarray
        `[frames, order + 1]`; the first coefficient is the log gain.

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
    """Return a linear delay's powers in warped delays, `[linear, warped]`.

    Each power is the one before, through the all-pass `(z^-1 + a) / (1 + a z^-1)`.
    """
    powers = np.zeros((n_linear, n_warped))
    powers[0, 0] = 1
    for k in range(1, n_linear):
        powers[k] = lfilter([warping, 1], [1, warping], powers[k - 1])
    return powers


@lru_cache
def _warped_cosines(frame_length: int, n_cosines: int, warping: float) -> np.ndarray:
    omega = 2 * np.pi * np.arange(frame_length // 2 + 1) / frame_length
    bend = np.arctan2(warping * np.sin(omega), 1 - warping * np.cos(omega))
    return np.cos(np.arange(n_cosines)[:, None] * (omega + 2 * bend))
