import numpy as np
import pytest

from speechbrain_mal.metrics.snr import segmental_snr, si_sdr, snr


def test_by_construction(pair):
    noise = pair.noisy - pair.clean
    noise -= (noise @ pair.clean) / (pair.clean @ pair.clean) * pair.clean  # orthogonal
    orthogonal = type(pair)(pair.clean + noise, pair.clean)
    for snr_db in (-5, 0, 20):
        assert snr(pair.at_snr(snr_db), pair.clean) == pytest.approx(snr_db, abs=1e-9)
        scaled = 0.1 * orthogonal.at_snr(snr_db)
        assert si_sdr(scaled, pair.clean) == pytest.approx(snr_db, abs=1e-6)


def test_a_gain_is_an_error_of_its_size(minibank_pairs):
    for _, clean in minibank_pairs.values():
        # |s|^2 / |s - g s|^2 in every frame
        for gain, expected in ((0.9, 20), (1.1, 20), (-1, -20 * np.log10(2))):
            assert snr(gain * clean, clean) == pytest.approx(expected)
            score = segmental_snr(gain * clean, clean, 16000)
            assert score == pytest.approx(expected, abs=1e-3)


def test_a_common_gain_changes_nothing(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        changed = segmental_snr(-0.5 * noisy, -0.5 * clean, 16000)
        # eps beside the noise
        assert changed == pytest.approx(segmental_snr(noisy, clean, 16000), abs=1e-6)


def test_frames_of_digital_silence_count_lowest(sample):
    speech = sample.clean[8000:16000] + 1e-3  # no sample is 0
    half_silent = np.concatenate([speech, np.zeros(8000)])
    score = segmental_snr(half_silent, half_silent, 16000)
    assert score == pytest.approx((35 - 10) / 2, abs=1)  # frames on the edge
