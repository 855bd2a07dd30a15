"""PESQ and STOI, by the packages `pesq` and `pystoi`.

PESQ: narrow band is ITU-T P.862 with the mapping of P.862.1, wide band P.862.2; both
give a MOS-LQO, on two different scales. STOI: Taal et al., IEEE TASLP 19(7), 2011.
Extended STOI: Jensen and Taal, IEEE/ACM TASLP 24(11), 2016.
"""

import warnings

import numpy as np

from speechbrain_mal.metrics.waveforms import check_clips, resample

WIDE_BAND_RATE = 16000  # Hz; P.862.2 is defined at no other
NARROW_BAND_RATES = (8000, 16000)  # Hz; P.862 has input filters for both

# The package keeps at most 50 utterances (speech between pauses of more than 0.2 s)
# and writes past their arrays when there are more: wrong scores, then a segmentation
# fault. Speech that pauses less than every 0.8 s stays below 50 for as long as this.
PESQ_SECONDS = (0.25, 40)
STOI_SECONDS = (0.384, np.inf)  # 30 frames, 12.8 ms apart, make the first correlation


def pesq_wb(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """PESQ-WB (P.862.2), about 1.04 (bad) to 4.64 (identical), at 16 kHz.

    Undefined where a clip is silent, shorter than 0.25 s or longer than 40, and where
    PESQ finds no speech in the clean one.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(32000) * np.sin(np.arange(32000) / 2000)
    >>> round(pesq_wb(clean, clean, 16000), 2)
    4.64
    """
    return _pesq("PESQ", enhanced, clean, sample_rate, WIDE_BAND_RATE, "wb")


def pesq_nb(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """PESQ-NB (P.862, P.862.1), about 1.02 (bad) to 4.55 (identical): 300 to 3400 Hz.

    16 kHz is given to the package as it is, and so is 8 kHz: it has filters of P.862's
    for both, and the band is then limited by them and not by a resampler. That is also
    what calling `pesq` or torchmetrics at 16 kHz gives. The two rates differ a little:
    a clip resampled to 8 kHz has another score. Undefined where `pesq_wb` is.

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

    check_clips(metric, sample_rate, PESQ_SECONDS, clean=clean, enhanced=enhanced)
    enhanced, clean = (resample(x, sample_rate, pesq_rate) for x in (enhanced, clean))
    try:
        return float(pesq(pesq_rate, clean, enhanced, mode))
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        if isinstance(reason, bytes):
            reason = reason.decode()
        raise ValueError(f"{metric}: {reason}") from error


def stoi(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """STOI, about 0 to 1 (identical), at 10 kHz.

    Frames in which the clean speech is 40 dB below its loudest are left out. Undefined
    where the clean clip is silent, or less than 0.4 s of it is not.

    Example
    -------
    >>> clean = np.random.default_rng(0).standard_normal(16000)
    >>> round(stoi(clean, clean, 16000), 2)
    1.0
    """
    return _stoi("STOI", enhanced, clean, sample_rate, extended=False)


def estoi(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """ESTOI: STOI that follows fluctuating noise better; see `stoi`.

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

    check_clips(metric, sample_rate, STOI_SECONDS, clean=clean)
    # pystoi adds noise of 2e-16 out of numpy's global generator to ESTOI.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            # It warns and returns 1e-5 where there is nothing to measure.
            warnings.simplefilter("error", RuntimeWarning)
            return float(pystoi.stoi(clean, enhanced, sample_rate, extended=extended))
    except RuntimeWarning as warning:
        raise ValueError(f"{metric}: {str(warning).split('. ')[0]}") from warning
    finally:
        np.random.set_state(state)
