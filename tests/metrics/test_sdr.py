import numpy as np
import pytest
from torch import from_numpy
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio,
    signal_noise_ratio,
)

from speechbrain_mal.metrics.sdr import si_sdr, snr

REFERENCES = {snr: signal_noise_ratio, si_sdr: scale_invariant_signal_distortion_ratio}
both = pytest.mark.parametrize("metric", REFERENCES)


@both
def test_agreement_with_torchmetrics(metric, pairs):
    for noisy, clean in pairs.values():
        expected = REFERENCES[metric](from_numpy(noisy), from_numpy(clean))
        # torchmetrics adds 2e-16 to each energy
        assert metric(noisy, clean, 16000) == pytest.approx(float(expected), abs=1e-6)


def test_snr_is_the_one_that_was_mixed(pairs, at_snr):
    for noisy, clean in pairs.values():
        for snr_db in (20, 10, 0, -10):
            mixed = at_snr(noisy, clean, snr_db)
            assert snr(mixed, clean, 16000) == pytest.approx(snr_db, abs=1e-9)


def test_si_sdr_falls_with_the_snr(pairs, at_snr):
    for noisy, clean in pairs.values():
        scores = [si_sdr(at_snr(noisy, clean, s), clean, 16000) for s in (20, 10, 0)]
        assert scores[0] > scores[1] > scores[2]


def test_si_sdr_by_construction(pairs):
    for noisy, clean in pairs.values():
        noise = noisy - clean
        noise -= (noise @ clean) / (clean @ clean) * clean  # orthogonal
        for snr_db in (-5, 0, 20):
            gain = 10 ** (-snr_db / 20) * np.linalg.norm(clean) / np.linalg.norm(noise)
            value = si_sdr(0.1 * (clean + gain * noise), clean, 16000)
            assert value == pytest.approx(snr_db, abs=1e-6)


def test_identical_clips(pairs):
    for _, clean in pairs.values():
        assert snr(clean, clean, 16000) == np.inf
        assert si_sdr(clean, clean, 16000) > 250  # the scale is rounded


def test_level_and_polarity(pairs):
    for noisy, clean in pairs.values():
        score = si_sdr(noisy, clean, 16000)
        for gain in (0.1, -1, -3):
            assert si_sdr(gain * noisy, clean, 16000) == pytest.approx(score, abs=1e-9)
        # |s|^2 / |s - g s|^2
        assert snr(0.1 * clean, clean, 16000) == pytest.approx(-20 * np.log10(0.9))
        assert snr(-clean, clean, 16000) == pytest.approx(-20 * np.log10(2))


@both
def test_a_delay_costs(metric, pairs):
    for _, clean in pairs.values():
        assert metric(np.roll(clean, 16), clean, 16000) < 20


@both
def test_10_ms_and_10_minutes(metric, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    start = len(clean) // 2
    assert np.isfinite(metric(noisy[start:][:160], clean[start:][:160], 16000))
    long = [np.resize(x, 16000 * 600) for x in (noisy, clean)]
    # the last repetition is cut
    expected = metric(noisy, clean, 16000)
    assert metric(*long, 16000) == pytest.approx(expected, abs=0.1)


def test_silence(sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    for metric in REFERENCES:
        with pytest.raises(ValueError, match="the clean clip is silent"):
            metric(noisy, 0 * clean, 16000)
    assert snr(0 * noisy, clean, 16000) == 0
    with pytest.raises(ValueError, match="SI-SDR: the enhanced clip is silent"):
        si_sdr(0 * noisy, clean, 16000)
