import numpy as np
import pystoi
import pytest
from torch import from_numpy
from torchmetrics.functional.audio import short_time_objective_intelligibility

from speechbrain_mal.metrics.stoi import estoi, stoi

EXTENDED = {stoi: False, estoi: True}
both = pytest.mark.parametrize("metric", EXTENDED)


@both
def test_agreement_with_the_packages(metric, pairs):
    for noisy, clean in pairs.values():
        score = metric(noisy, clean, 16000)
        extended = EXTENDED[metric]
        # ESTOI adds noise of the size of rounding
        expected = pystoi.stoi(clean, noisy, 16000, extended)
        assert score == pytest.approx(expected, rel=1e-9)
        other = short_time_objective_intelligibility(
            from_numpy(noisy), from_numpy(clean), 16000, extended
        )
        assert score == pytest.approx(float(other), rel=1e-6)  # a float32 tensor


@both
def test_falls_with_the_snr(metric, pairs, at_snr):
    for noisy, clean in pairs.values():
        scores = [metric(at_snr(noisy, clean, s), clean, 16000) for s in (20, 10, 0)]
        assert 1 > scores[0] > scores[1] > scores[2]


@both
def test_identical_clips(metric, pairs):
    for _, clean in pairs.values():
        assert metric(clean, clean, 16000) == pytest.approx(1, abs=1e-9)


@both
def test_level_and_a_shared_polarity_change_nothing(metric, pairs):
    for noisy, clean in pairs.values():
        score = metric(noisy, clean, 16000)
        for gain in (0.1, -1):  # envelopes have no sign, correlations no level
            changed = metric(gain * noisy, clean, 16000)
            assert changed == pytest.approx(score, abs=1e-6)


@both
def test_a_delay_costs(metric, pairs):
    for _, clean in pairs.values():
        scores = [metric(np.roll(clean, 16 * ms), clean, 16000) for ms in (0, 20, 100)]
        assert scores[0] > scores[1] > scores[2]


@both
@pytest.mark.parametrize("samples", [1, 160, 4000])
def test_short_clips(metric, samples, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    clip = slice(len(clean) // 2, len(clean) // 2 + samples)
    with pytest.raises(ValueError, match="STOI: the clip is shorter than 0.384 s"):
        metric(noisy[clip], clean[clip], 16000)


@both
def test_too_little_speech(metric, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    clean = np.where(np.arange(len(clean)) < 3000, clean + 0.1, 0)
    with pytest.raises(ValueError, match="STOI: Not enough STFT frames"):
        metric(noisy, clean, 16000)


@both
def test_silence(metric, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    with pytest.raises(ValueError, match="STOI: the clean clip is silent"):
        metric(noisy, 0 * clean, 16000)
    assert metric(0 * noisy, clean, 16000) == pytest.approx(0, abs=0.05)
