"""Perceptual evaluation of speech quality, by the package `pesq`.

Narrow band is ITU-T P.862 with the mapping of P.862.1, wide band P.862.2; both give a
MOS-LQO, on two different scales.
"""

import numpy as np

from speechbrain_mal.metrics.resample import resample
from speechbrain_mal.metrics.silence import refuse_silence

WIDE_BAND_RATE = 16000  # Hz; P.862.2 is defined at no other
NARROW_BAND_RATES = (8000, 16000)  # Hz; P.862 has input filters for both

# The package keeps at most 50 utterances (speech between pauses of more than 0.2 s)
# and writes past their arrays when there are more: wrong scores, then a segmentation
# fault. Speech that pauses less than every 0.8 s stays below 50 for as long as this.
LONGEST_SECONDS = 40


def pesq_wb(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """PESQ-WB of one clip (P.862.2).

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`, 0.25 to 40 s; other rates than 16 kHz are resampled
        to it.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    float
        MOS-LQO, about 1.04 (bad) to 4.64 (identical).

    Raises
    ------
    ValueError
        When a clip is silent, too short or too long, or PESQ finds no speech in the
        reference.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(32000) * np.sin(np.arange(32000) / 2000)
    >>> round(pesq_wb(clean, clean, 16000), 2)
    4.64
    """
    return _pesq("PESQ", enhanced, clean, sample_rate, WIDE_BAND_RATE, "wb")


def pesq_nb(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """PESQ-NB of one clip (P.862 and P.862.1): telephone band, about 300 to 3400 Hz.

    16 kHz is given to the package as it is, and so is 8 kHz: it has filters of P.862's
    for both, and the band is then limited by them and not by a resampler. That is also
    what calling `pesq` or torchmetrics at 16 kHz gives. The two rates differ a little:
    a clip resampled to 8 kHz has another score.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`, 0.25 to 40 s; other rates than 8 and 16 kHz are
        resampled to 16 kHz.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    float
        MOS-LQO, about 1.02 (bad) to 4.55 (identical).

    Raises
    ------
    ValueError
        As `pesq_wb`.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(32000) * np.sin(np.arange(32000) / 2000)
    >>> round(pesq_nb(clean, clean, 16000), 2)
    4.55
    """
    rate = sample_rate if sample_rate in NARROW_BAND_RATES else NARROW_BAND_RATES[1]
    return _pesq("PESQ-NB", enhanced, clean, sample_rate, rate, "nb")


def _pesq(
    metric: str,
    enhanced: np.ndarray,
    clean: np.ndarray,
    sample_rate: int,
    pesq_rate: int,
    mode: str,
) -> float:
    from pesq import PesqError, pesq

    refuse_silence(metric, clean=clean, enhanced=enhanced)
    seconds = len(clean) / sample_rate
    if seconds > LONGEST_SECONDS:
        raise ValueError(
            f"{metric}: the clip is {seconds:.1f} s long, and the package `pesq` is "
            f"safe up to {LONGEST_SECONDS} s: cut it into sentences"
        )
    enhanced, clean = (resample(x, sample_rate, pesq_rate) for x in (enhanced, clean))
    try:
        return float(pesq(pesq_rate, clean, enhanced, mode))
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        if isinstance(reason, bytes):
            reason = reason.decode()
        raise ValueError(f"{metric}: {reason}") from error
