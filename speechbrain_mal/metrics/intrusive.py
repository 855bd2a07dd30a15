"""PESQ and STOI, by the packages `pesq` and `pystoi`; SNR and SI-SDR.

PESQ: narrow band is ITU-T P.862 with the mapping of P.862.1, wide band P.862.2; both
give a MOS-LQO, on two different scales. STOI: Taal et al., IEEE TASLP 19(7), 2011.
Extended STOI: Jensen and Taal, IEEE/ACM TASLP 24(11), 2016. SI-SDR: Le Roux et al.,
ICASSP 2019.
"""

import warnings

import numpy as np


def pesq_wb(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """PESQ-WB (P.862.2), about 1.04 (bad) to 4.64 (identical), at 16 kHz.

    Undefined where PESQ finds no speech in the clean clip.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(32000) * np.sin(np.arange(32000) / 2000)
    >>> round(pesq_wb(clean, clean, 16000), 2)
    4.64
    """
    return _pesq(enhanced, clean, sample_rate, "wb")


def pesq_nb(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """PESQ-NB (P.862, P.862.1), about 1.02 (bad) to 4.55 (identical): 300 to 3400 Hz.

    8 and 16 kHz go to the package as they are, which has P.862's filters for both, so
    no resampler limits the band. The two rates' scores differ a little. Undefined where
    `pesq_wb` is.
    """
    return _pesq(enhanced, clean, sample_rate, "nb")


def _pesq(enhanced: np.ndarray, clean: np.ndarray, rate: int, mode: str) -> float:
    from pesq import PesqError, pesq

    try:
        return pesq(rate, clean, enhanced, mode)
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise ValueError(
            reason.decode() if isinstance(reason, bytes) else reason
        ) from error


def stoi(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """STOI, about 0 to 1 (identical), at 10 kHz.

    Frames in which the clean speech is 40 dB below its loudest are left out. Undefined
    where less than 0.4 s of it are left.

    Example
    -------
    >>> clean = np.random.default_rng(0).standard_normal(16000)
    >>> round(stoi(clean, clean, 16000), 2)
    1.0
    """
    return _stoi(enhanced, clean, sample_rate, extended=False)


def estoi(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """ESTOI: STOI that follows fluctuating noise better; see `stoi`."""
    return _stoi(enhanced, clean, sample_rate, extended=True)


def _stoi(
    enhanced: np.ndarray, clean: np.ndarray, sample_rate: int, extended: bool
) -> float:
    import pystoi

    # pystoi adds noise of 2e-16 out of numpy's global generator to ESTOI.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            # It warns and returns 1e-5 where there is nothing to measure.
            warnings.simplefilter("error", RuntimeWarning)
            return float(pystoi.stoi(clean, enhanced, sample_rate, extended=extended))
    except RuntimeWarning as warning:
        raise ValueError(str(warning).split(". ")[0]) from warning
    finally:
        np.random.set_state(state)


def snr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int = 16000) -> float:
    """SNR in dB: `10 log10(|s|^2 / |s - e|^2)`; a wrong level counts as noise.

    Infinite for the clean speech itself, 0 for silence.

    Example
    -------
    >>> clean = np.array([1.0, 0.0, -1.0, 0.0])
    >>> noise = np.array([0.0, 0.1, 0.0, -0.1])
    >>> round(snr(clean + noise, clean), 1), round(snr(2 * clean, clean), 1)
    (20.0, 0.0)
    """
    enhanced, clean = enhanced.astype(np.float64), clean.astype(np.float64)
    return _ratio_db(clean, clean - enhanced)


def si_sdr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int = 16000) -> float:
    """SI-SDR in dB: `10 log10(|a s|^2 / |a s - e|^2)`, `a = <e, s> / |s|^2`.

    Infinite for a scaled copy of the clean speech.

    Example
    -------
    >>> clean = np.array([1.0, 0.0, -1.0, 0.0])
    >>> noise = np.array([0.0, 0.1, 0.0, -0.1])
    >>> round(si_sdr(3 * (clean + noise), clean), 1)
    20.0
    """
    enhanced, clean = enhanced.astype(np.float64), clean.astype(np.float64)
    target = (enhanced @ clean) / (clean @ clean) * clean
    return _ratio_db(target, enhanced - target)


def _ratio_db(signal: np.ndarray, noise: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(10 * np.log10((signal @ signal) / (noise @ noise)))
