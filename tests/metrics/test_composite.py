import numpy as np
import pytest
from scipy.signal import lfilter, resample_poly

from speechbrain_mal.metrics.composite import composite, llr, mean_of_lowest, wss
from speechbrain_mal.metrics.pesq_stoi import pesq_wb
from speechbrain_mal.metrics.snr import segmental_snr


def test_composite_is_the_published_regression(minibank_pairs):
    for pair in minibank_pairs.values():
        clips = (pair.at_snr(15), pair.clean, 16000)  # no score is limited there
        terms = [pesq_wb(*clips), llr(*clips), wss(*clips), segmental_snr(*clips), 1]
        # Hu and Loizou 2008: PESQ, LLR, WSS, segmental SNR, constant
        assert composite(*clips) == pytest.approx(
            {
                "csig": np.dot([0.603, -1.029, -0.009, 0, 3.093], terms),
                "cbak": np.dot([0.478, 0, -0.007, 0.063, 1.634], terms),
                "covl": np.dot([0.805, -0.512, -0.007, 0, 1.594], terms),
            }
        )


def test_composite_says_what_it_lacks(sample):
    with pytest.raises(ValueError, match="composite: PESQ: the enhanced.*silent"):
        composite(0 * sample.noisy, sample.clean, 16000)


def test_llr_of_a_known_filter():
    # White noise w against w / (1 - 0.9 z^-1): the filter that whitens the second
    # leaves of the first 1 + 0.9^2 of its power.
    white = np.random.default_rng(0).standard_normal(160000)
    score = llr(lfilter([1], [1, -0.9], white), white, 16000)
    # 16 coefficients from 480 windowed samples are biased
    assert score == pytest.approx(np.log(1 + 0.9**2), abs=0.05)


def test_llr_of_what_has_no_filter(sample):
    noisy, clean = sample
    half = np.where(np.arange(len(clean)) < len(clean) // 2, clean, 0)
    assert llr(half, half, 16000) == 0
    assert np.isfinite(llr(noisy, half, 16000))
    # 16 coefficients predict a tone to rounding: errors of 0 and below
    tone = np.sin(2 * np.pi * 50 * np.arange(len(noisy)) / 16000)
    assert 5 < llr(noisy, tone, 16000) < 50


def test_wss_hears_nothing_above_4_khz(minibank_pairs):
    for _, clean in minibank_pairs.values():
        low = resample_poly(resample_poly(clean, 9, 16), 16, 9)[: len(clean)]
        assert wss(low, clean, 16000) < 1  # cut at 4.5 kHz
        assert llr(low, clean, 16000) > 0.5


def test_outliers_are_left_out():
    values = np.ones(100)
    values[::20] = 1e6
    assert mean_of_lowest(values) == 1
    assert mean_of_lowest(values[:1]) == 1e6  # one frame is not left out
