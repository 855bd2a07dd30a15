"""Composite measures CSIG, CBAK, COVL (Hu and Loizou, IEEE TASLP 16(1), 2008).

Regressions of listeners' ratings of signal distortion, background and overall quality
(ITU-T P.835) on other measures:

* `CSIG = 3.093 - 1.029 LLR + 0.603 PESQ - 0.009 WSS`
* `CBAK = 1.634 + 0.478 PESQ - 0.007 WSS + 0.063 segSNR`
* `COVL = 1.594 + 0.805 PESQ - 0.512 LLR - 0.007 WSS`
"""

import numpy as np

from speechbrain_mal.metrics.llr import llr
from speechbrain_mal.metrics.pesq import WIDE_BAND_RATE, pesq_wb
from speechbrain_mal.metrics.resample import resample
from speechbrain_mal.metrics.segmental import segmental_snr
from speechbrain_mal.metrics.wss import wss


def composite(
    enhanced: np.ndarray, clean: np.ndarray, sample_rate: int
) -> dict[str, float]:
    """CSIG, CBAK and COVL of one clip as papers on VoiceBank-DEMAND give them.

    That is at 16 kHz and with PESQ-WB's MOS-LQO, as in pysepm, CMGAN and SpeechBrain's
    recipes. (The regression was fitted to raw narrow-band PESQ at 8 kHz, so the values
    compare systems and are no ratings.)

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`; other rates than 16 kHz are resampled to it.
    sample_rate : int
        Sampling rate in Hz.

    Returns
    -------
    dict
        `csig`, `cbak` and `covl`, each limited to 1..5; identical clips have 5.

    Raises
    ------
    ValueError
        When PESQ is not defined, see `pesq_wb`.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(32000) * np.sin(np.arange(32000) / 2000)
    >>> composite(clean, clean, 16000)
    {'csig': 5.0, 'cbak': 5.0, 'covl': 5.0}
    """
    enhanced, clean = (
        resample(x, sample_rate, WIDE_BAND_RATE) for x in (enhanced, clean)
    )
    try:
        pesq = pesq_wb(enhanced, clean, WIDE_BAND_RATE)
    except ValueError as error:
        raise ValueError(f"composite: {error}") from error
    envelope = llr(enhanced, clean, WIDE_BAND_RATE)
    slope = wss(enhanced, clean, WIDE_BAND_RATE)
    ratio = segmental_snr(enhanced, clean, WIDE_BAND_RATE)
    scores = {
        "csig": 3.093 - 1.029 * envelope + 0.603 * pesq - 0.009 * slope,
        "cbak": 1.634 + 0.478 * pesq - 0.007 * slope + 0.063 * ratio,
        "covl": 1.594 + 0.805 * pesq - 0.512 * envelope - 0.007 * slope,
    }
    return {name: min(max(score, 1.0), 5.0) for name, score in scores.items()}
