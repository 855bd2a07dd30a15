import numpy as np
import pytest
from scipy.signal import resample_poly

from speechbrain_mal.metrics.lsd import lsd

RATES = (8000, 16000, 24000, 48000)


def test_agreement_with_the_urgent_challenge_s_script(pairs, references):
    for clip, (noisy, clean) in pairs.items():
        expected = references[f"{clip}@16000"]["lsd"]
        assert lsd(noisy, clean, 16000) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rate", RATES)
def test_agreement_at_other_rates(rate, pairs, references):
    clip, pair = next(iter(pairs.items()))
    noisy, clean = (resample_poly(x, rate, 16000) for x in pair)
    expected = references[f"{clip}@{rate}"]["lsd"]
    # resampled bands hold 1e-8 and less, where another scipy counts
    assert lsd(noisy, clean, rate) == pytest.approx(expected, rel=1e-6)


def test_grows_as_the_snr_falls(pairs, at_snr):
    for noisy, clean in pairs.values():
        mixed = (at_snr(noisy, clean, snr_db) for snr_db in (20, 10, 0))
        scores = [lsd(x, clean, 16000) for x in (clean, *mixed)]
        assert scores[0] < scores[1] < scores[2] < scores[3]


def test_identical_clips(minibank_pairs):
    for _, clean in minibank_pairs.values():
        # the bins' magnitudes are 1e-4 and more beside the constant 1e-8
        assert lsd(clean, clean, 16000) == pytest.approx(0, abs=1e-3)


def test_frames_of_digital_silence_count_18(sample_pairs):
    speech = sample_pairs["p232_001"][0][:16000]  # noisy: no sample is 0
    half = np.concatenate([speech, np.zeros(16000)])
    # Half the frames have ln(1e-8); one on the edge and one more at the end.
    expected = -np.log(1e-8) / 2
    assert lsd(half, half, 16000) == pytest.approx(expected, abs=0.3)
    assert lsd(half + 1e-5, half, 16000) > expected - 0.3


def test_level_and_polarity_change_nothing(pairs):
    for noisy, clean in pairs.values():
        score = lsd(noisy, clean, 16000)
        for gain in (0.1, -1, 3):
            # 1e-8 beside the energy, in the gain that is undone
            changed = lsd(gain * noisy, clean, 16000)
            assert changed == pytest.approx(score, rel=1e-4)


def test_a_delay_costs(minibank_pairs):
    for _, clean in minibank_pairs.values():
        # It misleads the gain, too: the correlation at lag 0 decides that.
        assert lsd(np.roll(clean, 16), clean, 16000) > 0.5


@pytest.mark.parametrize("samples", [1, 160, 600])
def test_short_clips(samples, sample_pairs):
    noisy, clean = (clip[16000 : 16000 + samples] for clip in sample_pairs["p232_001"])
    assert 0 <= lsd(noisy, clean, 16000) < 20


def test_ten_minutes(sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    long = (np.resize(x, 16000 * 600) for x in (noisy, clean))
    expected = lsd(noisy, clean, 16000)
    # frames see joints instead of zeros at the clip's ends
    assert lsd(*long, 16000) == pytest.approx(expected, rel=0.05)


def test_silent_clips(sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    with pytest.raises(ValueError, match="LSD: the clean clip is silent"):
        lsd(noisy, 0 * clean, 16000)
    assert lsd(0 * noisy, clean, 16000) > lsd(noisy, clean, 16000)
