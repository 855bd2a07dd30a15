"""Short-time objective intelligibility, by the package `pystoi`.

STOI: Taal et al., IEEE TASLP 19(7), 2011. Extended STOI: Jensen and Taal, IEEE/ACM
TASLP 24(11), 2016. Both resample to 10 kHz and leave out the frames in which the clean
speech is 40 dB below its loudest.
"""

import warnings

import numpy as np

from speechbrain_mal.metrics.silence import refuse_silence

SHORTEST_SECONDS = 0.384  # 30 frames, 12.8 ms apart, make the first correlation


def stoi(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """STOI of one clip.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    float
        Between about 0 and 1 (identical).

    Raises
    ------
    ValueError
        When the clean clip is silent, or less than 0.4 s of it is not.

    Example
    -------
    >>> clean = np.random.default_rng(0).standard_normal(16000)
    >>> round(stoi(clean, clean, 16000), 2)
    1.0
    """
    return _stoi("STOI", enhanced, clean, sample_rate, extended=False)


def estoi(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """ESTOI of one clip: STOI that follows fluctuating noise better.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    float
        Between about 0 and 1 (identical).

    Raises
    ------
    ValueError
        When the clean clip is silent, or less than 0.4 s of it is not.

    Example
    -------
    >>> clean = np.random.default_rng(0).standard_normal(16000)
    >>> round(estoi(clean, clean, 16000), 2)
    1.0
    """
    return _stoi("ESTOI", enhanced, clean, sample_rate, extended=True)


def _stoi(
    metric: str,
    enhanced: np.ndarray,
    clean: np.ndarray,
    sample_rate: int,
    extended: bool,
) -> float:
    import pystoi

    refuse_silence(metric, clean=clean)
    if len(clean) / sample_rate < SHORTEST_SECONDS:
        raise ValueError(f"{metric}: the clip is shorter than {SHORTEST_SECONDS} s")
    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5 where there is nothing to measure.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(clean, enhanced, sample_rate, extended=extended))
        except RuntimeWarning as warning:
            raise ValueError(f"{metric}: {str(warning).split('. ')[0]}") from warning
