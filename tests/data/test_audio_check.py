"""Unusual but sound files pass, and a wrong folder is reported without reading it all.

What must not pass is in test_voicebank.py, as a user meets it.
"""

import struct

import numpy as np
import pytest
import soundfile

from speechbrain_mal.data import audio_check
from speechbrain_mal.data.audio_check import check_pairs

RATE = 16000


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 1001), RATE)
    return path


def check(path, **options):
    return check_pairs({"clip": (path, path)}, RATE, **options)


@pytest.mark.parametrize("placeholder", [0xFFFFFFFF, 0x7FFFF000])
def test_wav_written_to_a_pipe(wav, placeholder):
    data = bytearray(wav.read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", placeholder)
    wav.write_bytes(data)
    assert check(wav) == {"clip": 1001}


def test_wav_with_other_chunks_around_its_data(wav):
    data = wav.read_bytes()
    extra = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"  # odd size, hence padded
    wav.write_bytes(data[:36] + extra + data[36:] + extra)
    assert check(wav) == {"clip": 1001}


@pytest.mark.parametrize(
    "extension, subtype",
    [("wav", "PCM_24"), ("wav", "FLOAT"), ("wav", "DOUBLE"), ("flac", "PCM_24")],
)
def test_sample_formats(tmp_path, extension, subtype):
    path = tmp_path / f"clip.{extension}"
    soundfile.write(path, np.full(1001, 0.1), RATE, subtype=subtype)
    assert check(path) == {"clip": 1001}


def test_a_long_file_is_read_in_blocks(wav, monkeypatch):
    monkeypatch.setattr(audio_check, "_BLOCK", 100)
    assert check(wav) == {"clip": 1001}


def test_a_nan_in_a_later_block_is_found(wav, monkeypatch):
    monkeypatch.setattr(audio_check, "_BLOCK", 100)
    audio = np.zeros(1001)
    audio[950] = np.nan
    soundfile.write(wav, audio, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="NaN"):
        check(wav)


def test_reading_stops_when_a_whole_folder_is_wrong(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(100), 8000)
    pairs = {f"clip_{i:03}": (path, path) for i in range(500)}
    with pytest.raises(ValueError, match="10 unusable .* the 10 of 500") as caught:
        check_pairs(pairs, RATE)
    assert "clip_009" in str(caught.value)
    assert "clip_010" not in str(caught.value)


def test_a_decoder_that_stops_early_without_an_error(wav, monkeypatch):
    # What a damaged file does depends on the version of libsndfile.
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: np.zeros(0))
    with pytest.raises(ValueError, match="promises 1001 samples, it has 0"):
        check(wav)
