"""Which enhanced clip is compared with which clean one."""

import json

import numpy as np
import pytest
import soundfile

from speechbrain_mal.metrics import (
    clips_from_folders,
    clips_from_list,
    clips_from_manifest,
)


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(8), 16000)
    return path


def test_folders_pair_by_path_whatever_the_format(tmp_path):
    enhanced = [write(tmp_path / "e" / name) for name in ("a.wav", "sub/b.FLAC")]
    clean = [write(tmp_path / "c" / name) for name in ("a.flac", "sub/b.wav")]
    clips = clips_from_folders(tmp_path / "e", tmp_path / "c")
    assert [clip.name for clip in clips] == ["a", "sub/b"]
    assert [clip.enhanced for clip in clips] == enhanced
    assert [clip.clean for clip in clips] == clean
    assert [c.clean for c in clips_from_folders(tmp_path / "e")] == [None, None]


def test_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        clips_from_folders(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no audio file"):
        clips_from_folders(tmp_path)
    write(tmp_path / "a.wav"), write(tmp_path / "a.flac")
    with pytest.raises(ValueError, match="are both clip 'a'"):
        clips_from_folders(tmp_path)


def test_manifest(tmp_path):
    entry = {"clean_wav": "{data_root}/c/a.wav", "noisy_wav": "{data_root}/n/a.wav"}
    manifest = tmp_path / "test.json"
    manifest.write_text(json.dumps({"a": {**entry, "words": "HELLO"}}))
    path = write(tmp_path / "e" / "a.flac")
    (clip,) = clips_from_manifest(manifest, tmp_path / "e", "/corpus")
    assert (clip.enhanced, str(clip.clean)) == (path, "/corpus/c/a.wav")
    assert clip.transcript == "HELLO"
    (clip,) = clips_from_manifest(manifest, "noisy", "/corpus")
    assert str(clip.enhanced) == "/corpus/n/a.wav"
    manifest.write_text(json.dumps({"a": {}}))
    with pytest.raises(ValueError, match="clip 'a' has no 'clean_wav'"):
        clips_from_manifest(manifest, tmp_path / "e")


def test_list(tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text("enhanced,clean,transcript\ne/a.wav,/c/a.wav,GOOD DAY\nb.wav,,\n")
    one, two = clips_from_list(table)
    assert (one.name, one.enhanced) == ("a", tmp_path / "e" / "a.wav")
    assert (str(one.clean), one.transcript) == ("/c/a.wav", "GOOD DAY")
    assert (two.clean, two.transcript) == (None, None)
    table.write_text("enhanced\nx/a.wav\ny/a.wav\n")
    with pytest.raises(ValueError, match="has clip 'a' twice"):
        clips_from_list(table)
    table.write_text("wav\na.wav\n")
    with pytest.raises(ValueError, match="needs a column 'enhanced'"):
        clips_from_list(table)
