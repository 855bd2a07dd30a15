"""Weighted spectral slope distance (Klatt, ICASSP 1982).

The squared difference of the slopes of two spectra over critical bands, weighted by how
close a band is to its spectrum's highest and to its nearest peak. With Loizou's choices
("Speech Enhancement: Theory and Practice", 2nd ed., section 11.1): 25 bands up to
3.6 kHz, `K_max = 20`, `K_locmax = 1`, and the sum divided by that of the weights.
"""

import numpy as np

from speechbrain_mal.metrics.frames import loizou_frames, mean_of_lowest
from speechbrain_mal.metrics.silence import refuse_silence

# Hz; from Loizou's table. They do not follow the sampling rate.
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


def wss(enhanced: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """WSS of one clip, the mean over the lowest 95 % of its frames of 30 ms.

    Arguments
    ---------
    enhanced, clean : np.ndarray
        Waveforms, `[samples]`.
    sample_rate : int
        Sampling rate in Hz, at least 8000.

    Returns
    -------
    float
        From 0 (same slopes), lower is better; noisy speech has some ten to a hundred.

    Raises
    ------
    ValueError
        When the clean clip is silent or shorter than 37.5 ms.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> clean = np.convolve(rng.standard_normal(16000), [1.0, 0.9, 0.5])
    >>> wss(clean, clean, 16000)
    0.0
    >>> 0 < wss(clean + rng.standard_normal(16002), clean, 16000) < 50
    True
    """
    refuse_silence("WSS", clean=clean)
    distances = []
    for noisy, speech in loizou_frames("WSS", enhanced, clean, sample_rate):
        bands = _critical_bands(speech.shape[1], sample_rate)
        slopes, weights = zip(
            *(_slopes_and_weights(_levels(x, bands)) for x in (noisy, speech)),
            strict=True,
        )
        weight = (weights[0] + weights[1]) / 2
        distance = np.sum(weight * (slopes[0] - slopes[1]) ** 2, 1)
        distances.append(distance / np.sum(weight, 1))
    return mean_of_lowest(np.concatenate(distances))


def _critical_bands(frame_length: int, sample_rate: int) -> np.ndarray:
    """Return Gaussian filters over the bins, `[n_fft / 2, 25]`, cut at -30 dB."""
    n_bins = 2 ** int(np.ceil(np.log2(2 * frame_length))) // 2
    bins_per_hz = n_bins / (sample_rate / 2)
    distance = np.arange(n_bins)[:, None] - np.floor(CENTRES * bins_per_hz)
    filters = np.exp(-11 * (distance / (BANDWIDTHS * bins_per_hz)) ** 2)
    filters *= BANDWIDTHS[0] / BANDWIDTHS  # of equal area
    return np.where(filters > np.exp(-30 / (2 * 2.303)), filters, 0)


def _levels(frames: np.ndarray, bands: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(frames, 2 * len(bands))[:, :-1]  # without Nyquist's bin
    power = spectrum.real**2 + spectrum.imag**2
    return 10 * np.log10(np.maximum(power @ bands, FLOOR))


def _slopes_and_weights(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
