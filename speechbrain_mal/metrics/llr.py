"""Log-likelihood ratio of linear prediction (Quackenbush et al., 1988).

`LLR = log(a_e' R_s a_e / a_s' R_s a_s)`, with `a` the prediction error filters of the
enhanced and the clean frame and `R_s` the clean frame's autocorrelation matrix: how
much worse the enhanced speech's filter predicts the clean speech than its own.
"""

import numpy as np

from speechbrain_mal.metrics.frames import loizou_frames, mean_of_lowest
from speechbrain_mal.metrics.silence import refuse_silence

NO_RATIO = 1000.0  # as in Schmid's pysepm, whose values these are


def llr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """LLR of one clip, the mean over the lowest 95 % of its frames.

    Frames of 30 ms, order 16 (10 below 10 kHz), not limited: the LLR within Hu and
    Loizou's composite measures. (Their program for LLR on its own limits frames to 2.)
    Where the clean clip is digitally silent there is no filter to compare with: such
    frames have high values that rounding decides. The highest 5 % are left out, so
    it takes more silence than that to move the result.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    float
        From 0 (same spectral envelope), lower is better.

    Raises
    ------
    ValueError
        When the clean clip is silent or shorter than 37.5 ms.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = np.convolve(rng.standard_normal(16000), [1.0, 0.9, 0.5])
    >>> llr(clean, clean, 16000)
    0.0
    >>> 0 < llr(clean + rng.standard_normal(16002), clean, 16000) < 1
    True
    """
    refuse_silence("LLR", clean=clean)
    order = 10 if sample_rate < 10000 else 16
    ratios = []
    for noisy, speech in loizou_frames("LLR", enhanced, clean, sample_rate):
        lags = _autocorrelation(speech, order)
        own = _error_energy(_error_filter(lags), lags)
        others = _error_energy(_error_filter(_autocorrelation(noisy, order)), lags)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios.append(others / own)
    ratio = np.concatenate(ratios)
    # Rounding can leave a digitally silent frame's error at 0 or below.
    ratio = np.where((ratio > 0) & np.isfinite(ratio), ratio, NO_RATIO)
    return mean_of_lowest(np.log(ratio))


def _autocorrelation(frames: np.ndarray, order: int) -> np.ndarray:
    length = frames.shape[1]
    return np.stack(
        [
            np.einsum("ft,ft->f", frames[:, : length - lag], frames[:, lag:])
            for lag in range(order + 1)
        ],
        axis=1,
    )


def _error_filter(lags: np.ndarray) -> np.ndarray:
    """Return `[frames, order + 1]`, first 1, by Levinson and Durbin's recursion."""
    coefficients = np.zeros_like(lags)
    coefficients[:, 0] = 1
    error = lags[:, 0].copy()
    for i in range(1, lags.shape[1]):
        missed = np.einsum("fi,fi->f", coefficients[:, :i], lags[:, i:0:-1])
        reflection = -missed / error
        coefficients[:, 1 : i + 1] += reflection[:, None] * coefficients[:, i - 1 :: -1]
        error = error * (1 - reflection**2)
    return coefficients


def _error_energy(coefficients: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return `a' R a` without the matrix: the filters' own autocorrelation does."""
    own = _autocorrelation(coefficients, lags.shape[1] - 1)
    return 2 * np.einsum("fi,fi->f", own, lags) - own[:, 0] * lags[:, 0]
