"""Extended short-time objective intelligibility (Jensen and Taal, 2016)."""

import warnings

import numpy as np

from speechbrain_mal.metrics.silence import refuse_silence


def estoi(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """ESTOI of one clip, by the package `pystoi`.

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
    from pystoi import stoi

    refuse_silence("ESTOI", clean=clean)
    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5 where there is nothing to measure.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(clean, enhanced, sample_rate, extended=True))
        except RuntimeWarning as warning:
            raise ValueError(f"ESTOI: {str(warning).split('. ')[0]}") from warning
