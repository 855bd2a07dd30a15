import numpy as np
import pytest

from speechbrain_mal.metrics.resample import resample


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_stays_that_tone(rate):
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    result = resample(tone, rate, 16000)
    assert len(result) == 16000
    # The ripple of scipy's Kaiser filter (beta 5, 53 dB); the ends miss samples.
    np.testing.assert_allclose(result[500:-500], expected[500:-500], atol=5e-3)


def test_equal_rates_copy_nothing():
    clip = np.ones(10)
    assert resample(clip, 16000, 16000) is clip
