"""Passes stay in float, and those that were stopped end as those that were not."""

import numpy as np
import pytest
import soundfile

from speechbrain_mal.analysis.passes import enhance_repeatedly, keeping_level


def read(path):
    return soundfile.read(path, dtype="float32")[0]


def test_passes_neither_clip_nor_round_nor_shift(noisy, tmp_path):
    enhance_repeatedly(lambda x, rate: 1.5 * x, noisy, [0, 1, 10], tmp_path / "out")
    for clip, path in noisy.items():
        expected = read(path)
        assert np.array_equal(read(tmp_path / "out" / "000" / f"{clip}.wav"), expected)
        for _ in range(10):
            expected = np.float32(1.5) * expected
        last = read(tmp_path / "out" / "010" / f"{clip}.wav")
        assert np.array_equal(last, expected) and np.abs(last).max() > 50


def test_a_level_that_is_kept_neither_grows_nor_vanishes(noisy, tmp_path):
    for gain in (30, 0.03):  # beyond 32-bit floats after 26 passes, below after 30

        def enhance(waveform, rate, gain=gain):
            return np.float32(gain) * waveform[::-1]

        out = tmp_path / str(gain)
        kept = keeping_level(enhance)
        assert not enhance_repeatedly(kept, noisy, [0, 1, 100], out)
        for clip, path in noisy.items():
            last = read(out / "100" / f"{clip}.wav")  # reversed an even number of times
            np.testing.assert_allclose(last, read(path), rtol=1e-5)  # 100 roundings
    silent = keeping_level(lambda waveform, rate: 0 * waveform)
    assert not silent(np.ones(4, np.float32), 16000).any()


def test_a_stopped_experiment_ends_as_one_that_was_not(noisy, tmp_path):
    def enhance(waveform, rate):  # no two passes alike, and sensitive to rounding
        return np.sin(3 * waveform, dtype=np.float32)

    calls = []

    def stopped(waveform, rate):
        calls.append(rate)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return enhance(waveform, rate)

    keep = [0, 1, 4, 10]
    enhance_repeatedly(enhance, noisy, keep, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        enhance_repeatedly(stopped, noisy, keep, tmp_path / "parts")
    enhance_repeatedly(stopped, noisy, keep, tmp_path / "parts")
    assert len(calls) == 14 + 9  # behind the first pass of the second clip
    whole, parts = (
        {
            p.relative_to(tmp_path / name): p.read_bytes()
            for p in (tmp_path / name).rglob("*.wav")
        }
        for name in ("whole", "parts")
    )
    assert whole == parts and len(whole) == 8


def test_a_pass_that_changes_the_length_is_named(noisy, tmp_path):
    with pytest.raises(ValueError, match="Pass 1 of clip0 made 7999 samples of 8000"):
        enhance_repeatedly(lambda x, rate: x[1:], noisy, [0, 2], tmp_path / "out")
