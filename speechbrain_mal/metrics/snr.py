"""Signal-to-noise ratios: of the whole clip, scale-invariant, and by segments.

SNR is `10 log10(|s|^2 / |s - e|^2)`; SI-SDR is the same after the clean speech `s` was
scaled to fit the enhanced `e` best (Le Roux et al., ICASSP 2019); segmental SNR is the
mean over frames, each limited to -10..35 dB (Hansen and Pellom, ICSLP 1998).
"""

import numpy as np

from speechbrain_mal.metrics.waveforms import check_clips, loizou_frames

LOWEST_DB, HIGHEST_DB = -10.0, 35.0


def snr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int = 16000) -> float:
    """SNR in dB; a wrong level counts as noise.

    Infinite for the clean speech itself, 0 for silence; undefined where the clean clip
    is silent.

    Example
    -------
    >>> clean = np.array([1.0, 0.0, -1.0, 0.0])
    >>> noise = np.array([0.0, 0.1, 0.0, -0.1])
    >>> round(snr(clean + noise, clean), 1), round(snr(2 * clean, clean), 1)
    (20.0, 0.0)
    """
    enhanced, clean = enhanced.astype(np.float64), clean.astype(np.float64)
    check_clips("SNR", sample_rate, clean=clean)
    return _ratio_db(clean, clean - enhanced)


def si_sdr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int = 16000) -> float:
    """SI-SDR in dB: `10 log10(|a s|^2 / |a s - e|^2)`, `a = <e, s> / |s|^2`.

    Infinite for a scaled copy of the clean speech; undefined where a clip is silent.

    Example
    -------
    >>> clean = np.array([1.0, 0.0, -1.0, 0.0])
    >>> noise = np.array([0.0, 0.1, 0.0, -0.1])
    >>> round(si_sdr(3 * (clean + noise), clean), 1)
    20.0
    """
    enhanced, clean = enhanced.astype(np.float64), clean.astype(np.float64)
    check_clips("SI-SDR", sample_rate, clean=clean, enhanced=enhanced)
    target = (enhanced @ clean) / (clean @ clean) * clean
    return _ratio_db(target, enhanced - target)


def _ratio_db(signal: np.ndarray, noise: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(10 * np.log10((signal @ signal) / (noise @ noise)))


def segmental_snr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """Segmental SNR, -10 to 35 dB, in frames of 30 ms, Hann windowed, 75 % overlapping.

    Nothing is rescaled first: the definition of Loizou's programs, which Hu and Loizou
    (2008) use in their composite measures. Some Python ports bring both clips to one
    peak before, and give other values where the level is off. Frames in which the clean
    speech is digitally silent count -10, whatever the estimate. Undefined where the
    clean clip is silent or shorter than 37.5 ms.

    Example
    -------
    >>> clean = np.sin(np.arange(16000) / 10)
    >>> round(segmental_snr(1.1 * clean, clean, 16000), 1)
    20.0
    """
    epsilon = np.finfo(np.float64).eps
    ratios = []
    for noisy, speech in loizou_frames("segmental SNR", enhanced, clean, sample_rate):
        noise = speech - noisy
        ratio = np.sum(speech**2, 1) / (np.sum(noise**2, 1) + epsilon)
        ratios.append(10 * np.log10(ratio + epsilon))
    return float(np.concatenate(ratios).clip(LOWEST_DB, HIGHEST_DB).mean())
