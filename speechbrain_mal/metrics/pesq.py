"""Perceptual evaluation of speech quality, wide band (ITU-T P.862.2)."""

import numpy as np

from speechbrain_mal.metrics.silence import refuse_silence

PESQ_RATE = 16000  # Hz; P.862.2 is defined at no other


def pesq_wb(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """PESQ-WB of one clip, by the package `pesq`.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`; other rates than 16 kHz are resampled to it.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    float
        MOS-LQO, about 1.04 (bad) to 4.64 (identical).

    Raises
    ------
    ValueError
        When a clip is silent or too short, or PESQ finds no speech in the reference.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(32000) * np.sin(np.arange(32000) / 2000)
    >>> round(pesq_wb(clean, clean, 16000), 2)
    4.64
    """
    from pesq import PesqError, pesq

    refuse_silence("PESQ", clean=clean, enhanced=enhanced)
    if sample_rate != PESQ_RATE:
        from scipy.signal import resample_poly

        enhanced, clean = (
            resample_poly(x, PESQ_RATE, sample_rate) for x in (enhanced, clean)
        )
    try:
        return float(pesq(PESQ_RATE, clean, enhanced, "wb"))
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        if isinstance(reason, bytes):
            reason = reason.decode()
        raise ValueError(f"PESQ: {reason}") from error
