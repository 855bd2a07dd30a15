import numpy as np
import pytest

from speechbrain_mal.metrics.scaling import least_squares_scaled


def test_no_other_gain_is_nearer(sample_pairs):
    for noisy, clean in sample_pairs.values():
        scaled = least_squares_scaled(-0.3 * noisy, clean)
        best = np.linalg.norm(scaled - clean)
        for gain in (0.98, 1.02):
            assert np.linalg.norm(gain * scaled - clean) > best


def test_whole_numbers_do_not_overflow():
    clip = np.full(100000, 30000, dtype=np.int16)
    assert least_squares_scaled(clip, clip)[0] == pytest.approx(30000)


def test_silence_stays_silence():
    assert not least_squares_scaled(np.zeros(8), np.ones(8)).any()
