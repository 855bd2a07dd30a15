"""Composite measures CSIG, CBAK, COVL (Hu and Loizou, IEEE TASLP 16(1), 2008).

Regressions of listeners' ratings of signal distortion, background and overall quality
(ITU-T P.835) on PESQ and measures that are defined here as in the programs of P. C.
Loizou ("Speech Enhancement: Theory and Practice", 2nd ed., CRC Press 2013, chapter 11):

* `CSIG = 3.093 - 1.029 LLR + 0.603 PESQ - 0.009 WSS`
* `CBAK = 1.634 + 0.478 PESQ - 0.007 WSS + 0.063 segSNR`
* `COVL = 1.594 + 0.805 PESQ - 0.512 LLR - 0.007 WSS`
"""

from collections.abc import Iterator

import numpy as np

from speechbrain_mal.metrics.intrusive import pesq_wb

BLOCK = 1024  # frames at a time: memory that does not grow with the clip
EPSILON = np.finfo(np.float64).eps  # MATLAB's
LOWEST_DB, HIGHEST_DB = -10.0, 35.0  # of a segment's SNR
SHARE = 0.95  # of the frames, the lowest, are averaged
NO_RATIO = 1000.0  # of an LLR; as in Schmid's pysepm, whose values these are

# Hz, of WSS; from Loizou's table. They do not follow the sampling rate.
CENTRES = np.array(
    [50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128]
    + [1020.38, 1148.30, 1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08]
    + [2446.71, 2701.97, 2978.04, 3276.17, 3597.63]
)
BANDWIDTHS = np.array(
    [70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256]
    + [127.914, 140.423, 153.823, 168.154, 183.457, 199.776, 217.153, 235.631]
    + [255.255, 276.072, 298.126, 321.465, 346.136]
)
FLOOR = 1e-10  # of a band's energy
K_MAX, K_LOCMAX = 20.0, 1.0  # dB


def composite(
    enhanced: np.ndarray, clean: np.ndarray, sample_rate: int
) -> dict[str, float]:
    """CSIG, CBAK and COVL as papers on VoiceBank-DEMAND give them, 1 to 5 (identical).

    With PESQ-WB's MOS-LQO, at 16 kHz, as in pysepm, CMGAN and SpeechBrain's recipes.
    (The regression was fitted to raw narrow-band PESQ at 8 kHz, so the values compare
    systems and are no ratings.) Undefined where `pesq_wb` is.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(32000) * np.sin(np.arange(32000) / 2000)
    >>> composite(clean, clean, 16000)
    {'csig': 5.0, 'cbak': 5.0, 'covl': 5.0}
    """
    pesq, ratio, slope, segments = (
        measure(enhanced, clean, sample_rate)
        for measure in (pesq_wb, llr, wss, segmental_snr)
    )
    scores = {
        "csig": 3.093 - 1.029 * ratio + 0.603 * pesq - 0.009 * slope,
        "cbak": 1.634 + 0.478 * pesq - 0.007 * slope + 0.063 * segments,
        "covl": 1.594 + 0.805 * pesq - 0.512 * ratio - 0.007 * slope,
    }
    return {name: min(max(score, 1.0), 5.0) for name, score in scores.items()}


def loizou_frames(
    enhanced: np.ndarray, clean: np.ndarray, sample_rate: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield 30 ms frames of two clips, Hann windowed, 75 % overlapping.

    As in Loizou's programs, the window has no zeros at its ends, the last whole frame
    is left out, and 2.2e-16 is added to every sample, so that digital silence has a
    spectrum. The clips have at least two frames, 37.5 ms.
    """
    frame_length = round(0.03 * sample_rate)
    hop_length = frame_length // 4
    n_frames = (len(clean) - frame_length) // hop_length
    window = np.hanning(frame_length + 2)[1:-1]
    end = (n_frames - 1) * hop_length + frame_length
    yield from zip(
        windowed_frames(enhanced[:end] + EPSILON, window, hop_length),
        windowed_frames(clean[:end] + EPSILON, window, hop_length),
        strict=True,
    )


def windowed_frames(
    clip: np.ndarray, window: np.ndarray, hop_length: int
) -> Iterator[np.ndarray]:
    """Yield blocks of the whole frames of a clip times a window, `[frames, samples]`.

    Example
    -------
    >>> next(windowed_frames(np.arange(5), np.ones(3), hop_length=2))
    array([[0., 1., 2.],
           [2., 3., 4.]])
    """
    frames = np.lib.stride_tricks.sliding_window_view(clip, len(window))[::hop_length]
    for start in range(0, len(frames), BLOCK):
        yield frames[start : start + BLOCK] * window


def segmental_snr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """Segmental SNR in dB: the mean of the frames' SNRs, each limited to -10 to 35.

    Of Hansen and Pellom, ICSLP 1998. Nothing is rescaled first: ports that bring both
    clips to one peak give other values where the level is off. Frames in which the
    clean speech is digitally silent count -10, whatever the estimate.

    Example
    -------
    >>> clean = np.sin(np.arange(16000) / 10)
    >>> round(segmental_snr(1.1 * clean, clean, 16000), 1)
    20.0
    """
    ratios = []
    for noisy, speech in loizou_frames(enhanced, clean, sample_rate):
        ratio = np.sum(speech**2, 1) / (np.sum((speech - noisy) ** 2, 1) + EPSILON)
        ratios.append(10 * np.log10(ratio + EPSILON))
    return float(np.concatenate(ratios).clip(LOWEST_DB, HIGHEST_DB).mean())


def mean_of_lowest(values: np.ndarray) -> float:
    """Return the mean of the lowest 95 % of frames."""
    return float(np.sort(values)[: round(SHARE * len(values))].mean())


def llr(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """Log-likelihood ratio (Quackenbush et al., 1988), from 0 (same envelope).

    `LLR = log(a_e' R_s a_e / a_s' R_s a_s)`, with `a` the linear prediction filters of
    the enhanced and the clean frame and `R_s` the clean frame's autocorrelation matrix:
    how much worse the enhanced speech's filter predicts the clean speech than its own.
    Order 16 (10 below 10 kHz), not limited, as within Hu and Loizou's composite
    measures. Where the clean clip is digitally silent, rounding decides the value; it
    takes more silence than the 5 % of frames that are left out to move the result.

    Example
    -------
    >>> clean = np.convolve(np.random.randn(16000), [1.0, 0.9, 0.5])
    >>> llr(clean, clean, 16000) < llr(clean + np.random.randn(16002), clean, 16000)
    True
    """
    order = 10 if sample_rate < 10000 else 16
    ratios = []
    for noisy, speech in loizou_frames(enhanced, clean, sample_rate):
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
    lags = [
        np.einsum("ft,ft->f", frames[:, : length - lag], frames[:, lag:])
        for lag in range(order + 1)
    ]
    return np.stack(lags, axis=1)


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
    """Return `a' R a` by the filters' own autocorrelation."""
    own = _autocorrelation(coefficients, lags.shape[1] - 1)
    return 2 * np.einsum("fi,fi->f", own, lags) - own[:, 0] * lags[:, 0]


def wss(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """Weighted spectral slope distance (Klatt, ICASSP 1982), from 0 (same slopes).

    The squared difference of the slopes of two spectra over 25 critical bands up to
    3.6 kHz, weighted by how close a band is to its spectrum's highest and to its
    nearest peak, over the sum of the weights. Noisy speech has some ten to a hundred.
    The rate is at least 8000 Hz.

    Example
    -------
    >>> clean = np.convolve(np.random.randn(16000), [1.0, 0.9, 0.5])
    >>> wss(clean, clean, 16000) < wss(clean + np.random.randn(16002), clean, 16000)
    True
    """
    bands = _critical_bands(round(0.03 * sample_rate), sample_rate)
    distances = []
    for pair in loizou_frames(enhanced, clean, sample_rate):
        (a, weight_a), (b, weight_b) = (_slopes_and_weights(x, bands) for x in pair)
        weight = (weight_a + weight_b) / 2
        distances.append(np.sum(weight * (a - b) ** 2, 1) / np.sum(weight, 1))
    return mean_of_lowest(np.concatenate(distances))


def _critical_bands(frame_length: int, sample_rate: int) -> np.ndarray:
    """Return Gaussian filters over the bins, `[n_fft / 2, 25]`, cut at -30 dB."""
    n_bins = 2 ** int(np.ceil(np.log2(2 * frame_length))) // 2
    bins_per_hz = n_bins / (sample_rate / 2)
    distance = np.arange(n_bins)[:, None] - np.floor(CENTRES * bins_per_hz)
    filters = np.exp(-11 * (distance / (BANDWIDTHS * bins_per_hz)) ** 2)
    filters *= BANDWIDTHS[0] / BANDWIDTHS  # of equal area
    return np.where(filters > np.exp(-30 / (2 * 2.303)), filters, 0)


def _slopes_and_weights(
    frames: np.ndarray, bands: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    spectrum = np.fft.rfft(frames, 2 * len(bands))[:, :-1]  # without Nyquist's bin
    power = spectrum.real**2 + spectrum.imag**2
    levels = 10 * np.log10(np.maximum(power @ bands, FLOOR))
    slopes = np.diff(levels)
    below_peak = levels.max(1, keepdims=True) - levels[:, :-1]
    below_near_peak = _nearest_peak(levels, slopes) - levels[:, :-1]
    weights = K_MAX / (K_MAX + below_peak) * K_LOCMAX / (K_LOCMAX + below_near_peak)
    return slopes, weights


def _nearest_peak(levels: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return the level of the peak that each band's slope leads to, `[frames, 24]`.

    Uphill it is the last band before the one where the slope ends (Loizou's program
    stops one short of the peak), downhill the band after the last rise.
    """
    n_slopes = slopes.shape[1]
    index = np.arange(n_slopes)
    rises = slopes > 0
    ends = np.where(rises, n_slopes, index)  # where a rise is over
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    last_rise = np.maximum.accumulate(np.where(rises, index, -1), axis=1)
    peak = np.where(rises, ends - 1, last_rise + 1)
    return np.take_along_axis(levels, peak, axis=1)
