import numpy as np
import pesq
import pytest
from scipy.signal import resample_poly
from torch import from_numpy
from torchmetrics.functional.audio import perceptual_evaluation_speech_quality

from speechbrain_mal.metrics.pesq import LONGEST_SECONDS, pesq_nb, pesq_wb

MODES = {pesq_wb: "wb", pesq_nb: "nb"}
both = pytest.mark.parametrize("metric", MODES)


@both
def test_agreement_with_the_packages(metric, pairs):
    for noisy, clean in pairs.values():
        score = metric(noisy, clean, 16000)
        assert score == pesq.pesq(16000, clean, noisy, MODES[metric])
        other = perceptual_evaluation_speech_quality(
            from_numpy(noisy), from_numpy(clean), 16000, MODES[metric]
        )
        assert score == pytest.approx(float(other), rel=1e-6)  # a float32 tensor


@both
def test_falls_with_the_snr(metric, pairs, at_snr):
    for noisy, clean in pairs.values():
        scores = [metric(at_snr(noisy, clean, s), clean, 16000) for s in (20, 10, 0)]
        perfect = metric(clean, clean, 16000)
        assert perfect > scores[0] > scores[1] > scores[2]


# The mappings' values at a raw score of 4.5, which identical clips have:
# 0.999 + 4 / (1 + exp(-1.4945 * 4.5 + 4.6607)) of P.862.1, and of P.862.2
# 0.999 + 4 / (1 + exp(-1.3669 * 4.5 + 3.8224)).
@pytest.mark.parametrize("metric, perfect", [(pesq_wb, 4.6439), (pesq_nb, 4.5486)])
def test_identical_clips(metric, perfect, pairs):
    for _, clean in pairs.values():
        assert metric(clean, clean, 16000) == pytest.approx(perfect, abs=1e-4)


@both
def test_level_and_polarity_change_nothing(metric, pairs):
    for noisy, clean in pairs.values():
        score = metric(noisy, clean, 16000)
        # PESQ works on 16-bit integers, and -6 dB costs one of the bits
        assert metric(0.5 * noisy, clean, 16000) == pytest.approx(score, abs=0.02)
        assert metric(-noisy, -clean, 16000) == pytest.approx(score, abs=0.02)


@both
def test_a_delay_is_found(metric, pairs):
    for _, clean in pairs.values():
        padded = np.pad(clean, 8000)  # so that nothing is cut off
        assert metric(np.roll(padded, 320), padded, 16000) > 4.4  # 20 ms


def test_48_khz_is_scored_as_16():
    rng = np.random.default_rng(0)
    clean = rng.standard_normal(48000) * np.sin(np.arange(48000) / 3000)
    clean = resample_poly(clean, 1, 3)  # nothing near 8 kHz for the filters to take
    clean = np.tile(resample_poly(resample_poly(clean, 1, 2), 2, 1), 3)
    noisy = clean + 0.1 * np.roll(clean, 4321)
    high = [resample_poly(x, 3, 1) for x in (noisy, clean)]
    for metric in MODES:
        expected = metric(noisy, clean, 16000)
        # what the two filters' transition bands take away
        assert metric(*high, 48000) == pytest.approx(expected, abs=0.05)


def test_narrow_band_takes_8_khz_as_it_is(sample_pairs):
    for noisy, clean in sample_pairs.values():
        low = [resample_poly(x, 1, 2) for x in (noisy, clean)]
        expected = pesq.pesq(8000, low[1], low[0], "nb")
        assert pesq_nb(*low, 8000) == expected


@both
@pytest.mark.parametrize(
    "samples, reason", [(160, "at least 1/4 of a second"), (3000, "at least 1/4")]
)
def test_short_clips(metric, samples, reason, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    start = len(clean) // 2
    clip = slice(start, start + samples)
    with pytest.raises(ValueError, match=f"PESQ.*: .*{reason}"):
        metric(noisy[clip], clean[clip], 16000)


@both
def test_silence(metric, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    with pytest.raises(ValueError, match="PESQ.*: the clean clip is silent"):
        metric(noisy, 0 * clean, 16000)
    with pytest.raises(ValueError, match="PESQ.*: the enhanced clip is silent"):
        metric(0 * noisy, clean, 16000)


@both
def test_clips_beyond_the_package_s_arrays(metric, sample_pairs):
    _, clean = sample_pairs["p232_001"]
    minutes = np.resize(clean, 16000 * 600)
    with pytest.raises(ValueError, match="600.0 s long.*safe up to 40 s"):
        metric(minutes, minutes, 16000)
    # As many utterances as the limit is meant for: 0.5 s of speech, 0.3 s of pause.
    burst = np.zeros(int(0.8 * 16000))
    burst[:8000] = clean[8000:16000]
    longest = np.resize(burst, 16000 * LONGEST_SECONDS)
    assert metric(longest, longest, 16000) > 4.5
