import numpy as np
import pytest

from speechbrain_mal.metrics.urgent import ANALYSIS, lsd, mcd


def test_lsd_s_frames_of_digital_silence_count_18(sample):
    speech = sample.noisy[:16000]  # no sample is 0
    half = np.concatenate([speech, np.zeros(16000)])
    # Half the frames have ln(1e-8); one on the edge and one more at the end.
    expected = -np.log(1e-8) / 2
    assert lsd(half, half, 16000) == pytest.approx(expected, abs=0.3)
    assert lsd(half + 1e-5, half, 16000) > expected - 0.3


def test_no_other_gain_is_nearer(sample):
    """The gain that is undone is the one of least squares, whatever the sign."""
    noisy, clean = sample
    best = (noisy @ clean) / (noisy @ noisy) * noisy
    for gain in (-3, 0.1, 1):
        assert lsd(gain * noisy, clean, 16000) == pytest.approx(
            lsd(best, clean, 16000), rel=1e-4
        )


@pytest.mark.parametrize("rate", ANALYSIS)
def test_mcd_at_every_rate_of_the_table(rate, sample):
    noisy, clean = (clip[8000:16000] for clip in sample)
    assert 0 < mcd(noisy, clean, rate) < 50


def test_mcd_of_one_frame_and_of_another_rate(sample):
    noisy, clean = (clip[16000:17024] for clip in sample)
    assert 0 < mcd(noisy, clean, 16000) < 100
    with pytest.raises(ValueError, match="not defined at 11025 Hz: resample to one of"):
        mcd(noisy, clean, 11025)
