"""Which enhanced clip is compared with which clean one."""

import json
import os

import numpy as np
import pytest
import soundfile

from speechbrain_mal.metrics import (
    Clip,
    clips_from_folders,
    clips_from_list,
    clips_from_manifest,
)
from speechbrain_mal.metrics.clips import read_mono


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(8), 16000)
    return path


def test_folders_pair_by_path_whatever_the_format(tmp_path):
    enhanced = [write(tmp_path / "e" / name) for name in ("a.wav", "sub/b.FLAC")]
    clean = [write(tmp_path / "c" / name) for name in ("a.flac", "sub/b.aiff")]
    write(tmp_path / "c" / "._a.wav")  # hidden
    clips = clips_from_folders(tmp_path / "e", tmp_path / "c")
    assert clips == [
        Clip("a", enhanced[0], clean[0]),
        Clip("sub/b", enhanced[1], clean[1]),
    ]
    assert [c.clean for c in clips_from_folders(tmp_path / "e")] == [None, None]


def test_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        clips_from_folders(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no audio file"):
        clips_from_folders(tmp_path)
    write(tmp_path / "a.wav"), write(tmp_path / "a.flac")
    with pytest.raises(ValueError, match="are both clip 'a'"):
        clips_from_folders(tmp_path)


def test_dns_s_test_sets_pair_by_fileid(tmp_path):
    names = [f"clnsp1_x_snr15_tl-21_fileid_{number}" for number in (1, 12)]
    enhanced = [write(tmp_path / "e" / f"{name}.wav") for name in names]
    write(tmp_path / "c" / "clean_fileid_1.wav")
    clean = write(tmp_path / "c" / "clean_fileid_12.wav")
    write(tmp_path / "c" / "clean_fileid_3.wav")
    clips = clips_from_folders(tmp_path / "e", tmp_path / "c", "fileid")
    assert [clip.name for clip in clips] == ["clean_fileid_3", *names]
    assert clips[2] == Clip(names[1], enhanced[1], clean)
    assert not clips[0].enhanced.exists()  # which its scores say
    write(tmp_path / "c" / "other_fileid_12.wav")
    with pytest.raises(ValueError, match="has fileid_12 twice"):
        clips_from_folders(tmp_path / "e", tmp_path / "c", "fileid")
    write(tmp_path / "e" / "b.wav")
    with pytest.raises(ValueError, match="b.wav has no 'fileid_<number>'"):
        clips_from_folders(tmp_path / "e", tmp_path / "c", "fileid")


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


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "is no manifest"),
        ("[]", "is no manifest"),
        ("null", "is no manifest"),
        ("{}", "is no manifest"),
        ("{", "is no JSON"),
        ('{"a": {}}', "clip 'a' has no 'clean_wav'"),
        ('{"a": []}', "clip 'a' has no 'clean_wav'"),
        ('{"a": {"clean_wav": 1}}', "clip 'a' has no 'clean_wav'"),
        ('{"../a": {"clean_wav": "a.wav"}}', "leads out of its folder"),
        (b"\xff\xfe", "is not text in UTF-8"),
    ],
)
def test_what_is_no_manifest_is_named(content, reason, tmp_path):
    write(tmp_path / "e" / "a.wav")
    manifest = tmp_path / "test.json"
    manifest.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"test.json.*{reason}"):
        clips_from_manifest(manifest, tmp_path / "e")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_list(tmp_path, separator, mark):
    table = tmp_path / "pairs.csv"
    text = f"{mark}enhanced,clean,transcript\ne/a.wav,/c/a.wav,GOOD DAY\nb.wav,,\n"
    table.write_text(text.replace(",", separator), encoding="utf-8")
    assert clips_from_list(table) == [
        Clip("a", tmp_path / "e/a.wav", tmp_path / "/c/a.wav", transcript="GOOD DAY"),
        Clip("b", tmp_path / "b.wav"),
    ]


def test_what_is_no_list_is_named(tmp_path):
    table = tmp_path / "pairs.csv"
    for text, reason in (
        ("enhanced\nx/a.wav\ny/a.wav\n", "has clip 'a' twice"),
        ("wav\na.wav\n", "has no column 'enhanced'"),
        ("", "has no column 'enhanced'"),
        ("enhanced\n", "has no rows"),
        ("enhanced,clean\na.wav\n", "row 2 is not as long as the head"),
    ):
        table.write_text(text)
        with pytest.raises(ValueError, match=f"pairs.csv.*{reason}"):
            clips_from_list(table)


@pytest.mark.parametrize("read", [clips_from_list, clips_from_manifest, read_mono])
def test_a_pipe_or_a_folder_is_named_and_not_waited_for(read, tmp_path):
    arguments = ("noisy",) if read is clips_from_manifest else ()
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(ValueError, match=" not a "):
            read(tmp_path / name, *arguments)
