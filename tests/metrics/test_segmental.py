import numpy as np
import pytest

from speechbrain_mal.metrics.segmental import segmental_snr


def test_agreement_with_pysepm(pairs, references):
    for name, (noisy, clean) in pairs.items():
        expected = references[f"{name}@16000"]["segmental_snr"]
        assert segmental_snr(noisy, clean, 16000) == pytest.approx(expected, abs=1e-9)


def test_falls_with_the_snr(pairs, at_snr):
    for noisy, clean in pairs.values():
        mixed = (at_snr(noisy, clean, snr_db) for snr_db in (20, 10, 0))
        scores = [segmental_snr(x, clean, 16000) for x in mixed]
        perfect = segmental_snr(clean, clean, 16000)
        assert perfect > scores[0] > scores[1] > scores[2] > -10


def test_identical_clips(minibank_pairs):
    for _, clean in minibank_pairs.values():
        assert segmental_snr(clean, clean, 16000) == 35


def test_frames_of_digital_silence_count_lowest(sample_pairs):
    _, clean = sample_pairs["p232_001"]
    speech = clean[8000:16000] + 1e-3  # no sample is 0
    half_silent = np.concatenate([speech, np.zeros(8000)])
    score = segmental_snr(half_silent, half_silent, 16000)
    assert score == pytest.approx((35 - 10) / 2, abs=1)  # frames on the edge


def test_a_gain_is_an_error_of_its_size(minibank_pairs):
    for _, clean in minibank_pairs.values():
        # |s|^2 / |0.1 s|^2 in every frame, and a clip upside down has |s|^2 / |2 s|^2
        for gain, expected in ((0.9, 20), (1.1, 20), (-1, -20 * np.log10(2))):
            score = segmental_snr(gain * clean, clean, 16000)
            assert score == pytest.approx(expected, abs=1e-3)


def test_a_common_gain_changes_nothing(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        score = segmental_snr(noisy, clean, 16000)
        changed = segmental_snr(-0.5 * noisy, -0.5 * clean, 16000)
        assert changed == pytest.approx(score, abs=1e-6)  # eps beside the noise


def test_a_delay_costs(minibank_pairs):
    for _, clean in minibank_pairs.values():
        assert segmental_snr(np.roll(clean, 16), clean, 16000) < 10


def test_short_and_silent_clips(sample_pairs):
    noisy, clean = (clip[16000:] for clip in sample_pairs["p232_001"])
    with pytest.raises(ValueError, match="segmental SNR: .* shorter than 37.5 ms"):
        segmental_snr(noisy[:160], clean[:160], 16000)
    assert -10 <= segmental_snr(noisy[:600], clean[:600], 16000) <= 35
    with pytest.raises(ValueError, match="segmental SNR: the clean clip is silent"):
        segmental_snr(noisy, 0 * clean, 16000)
    # |s|^2 / |s|^2 where there is speech
    assert segmental_snr(0 * noisy, clean, 16000) <= 0
