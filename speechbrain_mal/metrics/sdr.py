"""Signal-to-noise ratios over a whole clip.

SNR is `10 log10(|s|^2 / |s - e|^2)`, SI-SDR the same after the clean speech `s` was
scaled to fit the enhanced `e` best (Le Roux et al., ICASSP 2019).
"""

import numpy as np

from speechbrain_mal.metrics.silence import refuse_silence


def snr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int = 0) -> float:
    """SNR of one clip: `10 log10(|s|^2 / |s - e|^2)`; a wrong level counts as noise.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Not used; metrics share their signature.

    Returns
    -------
    float
        In dB; infinite for the clean speech itself, 0 for silence.

    Raises
    ------
    ValueError
        When the clean clip is silent: the ratio has no value.

    Example
    -------
    >>> clean = np.array([1.0, 0.0, -1.0, 0.0])
    >>> noise = np.array([0.0, 0.1, 0.0, -0.1])
    >>> round(snr(clean + noise, clean), 1), round(snr(2 * clean, clean), 1)
    (20.0, 0.0)
    """
    enhanced, clean = enhanced.astype(np.float64), clean.astype(np.float64)
    refuse_silence("SNR", clean=clean)
    return _ratio_db(clean, clean - enhanced)


def si_sdr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int = 0) -> float:
    """SI-SDR of one clip: `10 log10(|a s|^2 / |a s - e|^2)`, `a = <e, s> / |s|^2`.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Not used; metrics share their signature.

    Returns
    -------
    float
        In dB; infinite for a scaled copy of the clean speech.

    Raises
    ------
    ValueError
        When the clean or the enhanced clip is silent: the ratio has no value.

    Example
    -------
    >>> clean = np.array([1.0, 0.0, -1.0, 0.0])
    >>> noise = np.array([0.0, 0.1, 0.0, -0.1])
    >>> round(si_sdr(3 * (clean + noise), clean), 1)
    20.0
    """
    enhanced, clean = enhanced.astype(np.float64), clean.astype(np.float64)
    refuse_silence("SI-SDR", clean=clean, enhanced=enhanced)
    target = (enhanced @ clean) / (clean @ clean) * clean
    return _ratio_db(target, enhanced - target)


def _ratio_db(signal: np.ndarray, noise: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(10 * np.log10((signal @ signal) / (noise @ noise)))
