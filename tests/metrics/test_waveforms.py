import numpy as np
import pytest

from speechbrain_mal.metrics.waveforms import resample, windowed_frames


def test_blocks_hold_each_whole_frame_once():
    clip = np.arange(10_003.0)
    window = np.array([1.0, 2, 3])
    blocks = list(windowed_frames(clip, window, hop_length=2))
    assert len(blocks) > 1
    starts = np.arange(0, len(clip) - 2, 2)
    expected = clip[starts[:, None] + np.arange(3)] * window
    assert (np.concatenate(blocks) == expected).all()


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_stays_that_tone(rate):
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    result = resample(tone, rate, 16000)
    assert len(result) == 16000
    # The ripple of scipy's Kaiser filter (beta 5, 53 dB); the ends miss samples.
    np.testing.assert_allclose(result[500:-500], expected[500:-500], atol=5e-3)
    assert resample(tone, rate, rate) is tone
