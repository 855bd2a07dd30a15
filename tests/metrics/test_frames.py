import numpy as np
import pytest

from speechbrain_mal.metrics.frames import (
    loizou_frames,
    mean_of_lowest,
    windowed_frames,
)


def test_blocks_hold_each_whole_frame_once():
    clip = np.arange(10_003.0)
    window = np.array([1.0, 2, 3])
    blocks = list(windowed_frames(clip, window, hop_length=2))
    assert len(blocks) > 1
    frames = np.concatenate(blocks)
    starts = np.arange(0, len(clip) - 2, 2)
    assert (frames == clip[starts[:, None] + np.arange(3)] * window).all()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_loizou_s_frames(rate):
    clip = np.ones(rate)
    enhanced, clean = next(loizou_frames("LLR", 2 * clip, clip, rate))
    length = round(0.03 * rate)
    # int(samples / hop - length / hop), as his programs count
    assert clean.shape == (int((rate - length) / (length // 4)), length)
    window = np.sin(np.pi * np.arange(1, length + 1) / (length + 1)) ** 2
    np.testing.assert_allclose(clean[0], window, atol=1e-12)
    np.testing.assert_allclose(enhanced, 2 * clean, atol=1e-12)


def test_shortest_clip():
    for samples in (1, 160, 599):
        with pytest.raises(ValueError, match="WSS: the clip is shorter than 37.5 ms"):
            next(loizou_frames("WSS", np.ones(samples), np.ones(samples), 16000))
    clean = next(loizou_frames("WSS", np.ones(600), np.ones(600), 16000))[1]
    assert clean.shape == (1, 480)


def test_outliers_are_left_out():
    values = np.ones(100)
    values[::20] = 1e6
    assert mean_of_lowest(values) == 1
    assert mean_of_lowest(values[:1]) == 1e6  # one frame is not left out
