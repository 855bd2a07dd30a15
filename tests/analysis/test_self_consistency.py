"""Passes stay in float; those that were stopped end as others; clips get lost."""

import numpy as np
import pytest
import soundfile

from speechbrain_mal.analysis.self_consistency import (
    enhance_repeatedly,
    keeping_level,
    passes_to_keep,
    self_consistency,
)


@pytest.fixture
def noisy(tmp_path):
    files = {}
    for i in range(2):
        files[f"clip{i}"] = path = tmp_path / f"clip{i}.wav"
        soundfile.write(path, 0.3 * np.random.default_rng(i).normal(size=8000), 16000)
    return files


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


def test_a_clip_that_diverges_has_no_further_passes(noisy, tmp_path):
    def explodes(waveform, rate):
        return waveform * np.float32(5)  # beyond 100 at the third: 1.2 * 125

    out = tmp_path / "out"
    diverged = enhance_repeatedly(explodes, noisy, [0, 2, 5], out / "explodes")
    assert diverged == {"clip0": 3, "clip1": 3}
    assert [p.name for p in sorted((out / "explodes").iterdir())] == ["000", "002"]
    tables = self_consistency({"explodes": explodes}, noisy, noisy, 5, ["estoi"], out)
    assert tables["explodes"][5].scored("estoi") == 0
    assert "005/clip0.wav: there is no such file" in tables["explodes"][5].failures[0]


def test_a_clip_that_cannot_be_read_costs_no_other(noisy, tmp_path):
    noisy["clip0"].write_bytes(b"RIFF, and no more")
    out = tmp_path / "out"
    same = {"same": lambda x, rate: x}
    tables = self_consistency(same, noisy, noisy, 2, ["estoi"], out)["same"]
    assert [table.scored("estoi") for table in tables.values()] == [1, 1, 1]
    assert "clip0.wav: there is no such file" in tables[0].failures[0]


def test_curves_and_spectrograms(noisy, tmp_path):
    systems = {
        "keeps": lambda x, rate: x,
        "fades": lambda x, rate: x + np.float32(0.1) * np.roll(x, 1),
    }
    clean = dict(noisy)
    out = tmp_path / "out"
    tables = self_consistency(systems, noisy, clean, 12, ["si_sdr", "estoi"], out)
    assert list(tables["fades"]) == passes_to_keep(12)
    estoi = [t.means()["estoi"] for t in tables["fades"].values()]
    assert all(a > b for a, b in zip(estoi, estoi[1:], strict=False))
    assert tables["keeps"][12].rows["012/clip0"] == pytest.approx(
        {"si_sdr": np.inf, "estoi": 1.0}
    )
    for picture in ("passes.png", "spectrograms.png"):
        assert (out / picture).stat().st_size > 20_000
    lines = (out / "passes.csv").read_text().splitlines()
    assert lines[0] == "system,pass,clips,si_sdr,estoi"
    assert len(lines) == 1 + 2 * len(passes_to_keep(12))
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert first["pass"] == "0" and first["clips"] == "2" and first["estoi"] == "1.0000"
