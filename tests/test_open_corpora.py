"""The script that fetches open material: files, licences, what could not be had."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import yaml
from conftest import ROOT

SCRIPT = ROOT / "recipes" / "DNS" / "open_corpora.py"
LICENSE = "- [1-1-A.ogg]: a dog by x [CC0]\n- [1-2-A.ogg]: a cat by y [CC-BY-NC]\n"


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True)


@pytest.fixture
def corpora(tmp_path):
    """Return a list of corpora: sounds of two licences, and one that is not there."""
    repository = tmp_path / "sounds"
    (repository / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("1-1-A-0", "1-2-A-1"):
        sound = 0.1 * rng.standard_normal((44100, 2))
        soundfile.write(repository / "audio" / f"{name}.wav", sound, 44100)
    (repository / "LICENSE").write_text(LICENSE)
    git(repository, "init", "-q", "-b", "master")
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "sounds")
    known = yaml.safe_load((SCRIPT.parent / "open_corpora.yaml").read_text())
    esc50 = {**known["esc50"], "repository": f"file://{repository}"}
    gone = {**known["openair"], "repository": f"file://{tmp_path / 'nowhere'}"}
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump({"esc50": esc50, "gone": gone}))
    return path


def test_fetches_what_may_be_used_and_says_what_it_could_not_get(corpora, tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), "--list", corpora]
    command += ["--sample-rate", "16000"]
    times = []
    for _ in range(2):  # the second finds all of it done
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 3, done.stderr
        assert "esc50: 1 files, 1 left out" in done.stdout
        assert "gone: not fetched: " in done.stdout
        (file,) = (tmp_path / "out" / "noise").rglob("*.flac")
        times.append(file.stat().st_mtime_ns)
    assert times[0] == times[1]
    info = soundfile.info(file)
    assert (info.samplerate, info.channels, info.frames) == (16000, 1, 16000)
    with open(tmp_path / "out" / "sources.csv", newline="") as table:
        (row,) = csv.DictReader(table)
    assert row["file"] == "noise/esc50/audio_1-1-A-0.flac" and row["licence"] == "CC0"
    head = ["git", "-C", corpora.parent / "sounds", "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True).stdout.strip()
    assert row["origin"].split()[1:] == [commit, "audio/1-1-A-0.wav"]


def test_unknown_name_is_refused(corpora, tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--only", "librispeech"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "has no 'librispeech', but speech_to" in done.stderr
