"""Preparation of VoiceBank-DEMAND: the manifests, and one test for each bad input."""

import json
import logging
import os
import shutil

import numpy as np
import pytest
import soundfile

from speechbrain_mal.data import prepare_voicebank

RATE = 16000
TRAIN = ("p225_001", "p225_002", "p226_001", "p226_002", "p227_001")
TEST = ("p232_001", "p257_001")


def write_set(root, name, clips, rate=RATE, extension="wav"):
    for kind in ("noisy", "clean"):
        folder = root / f"{kind}_{name}"
        folder.mkdir(parents=True)
        for i, clip in enumerate(clips):
            audio = np.random.default_rng(i).uniform(-0.1, 0.1, 800 + 80 * i)
            soundfile.write(folder / f"{clip}.{extension}", audio, rate)


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "VoiceBank"
    write_set(root, "trainset_28spk_wav_16k", TRAIN)
    write_set(root, "testset_wav_16k", TEST)
    return root


@pytest.fixture
def save(tmp_path):
    return tmp_path / "manifests"


def prepare(corpus, save, **options):
    prepare_voicebank(corpus, save, **{"valid_speakers": ["p226"], **options})


def load(save, name):
    return json.loads((save / f"{name}.json").read_text())


def fails(corpus, save, match, error=ValueError, **options):
    """Expect an error that says `match`, and that leaves nothing behind."""
    with pytest.raises(error, match=match) as caught:
        prepare(corpus, save, **options)
    assert not save.exists()
    return str(caught.value)


# The manifests


def test_manifests_hold_the_corpus_split_by_speaker(corpus, save):
    prepare(corpus, save)
    train, valid, test = (load(save, name) for name in ("train", "valid", "test"))
    assert list(train) == ["p225_001", "p225_002", "p227_001"]  # sorted by id
    assert list(valid) == ["p226_001", "p226_002"]
    assert list(test) == list(TEST)
    assert train["p225_002"] == {
        "noisy_wav": "{data_root}/noisy_trainset_28spk_wav_16k/p225_002.wav",
        "clean_wav": "{data_root}/clean_trainset_28spk_wav_16k/p225_002.wav",
        "length": 880 / RATE,
        "samples": 880,
        "speaker": "p225",
    }
    assert sorted(os.listdir(save)) == [
        "prepare.json",
        "test.json",
        "train.json",
        "valid.json",
    ]


def test_48_khz_flac_56spk_and_another_test_set(tmp_path, save):
    write_set(tmp_path, "trainset_56spk_wav", TRAIN, 48000, "flac")
    write_set(tmp_path, "oodset_wav", TEST, 48000, "flac")
    prepare(tmp_path, save, sample_rate=48000, train_set="56spk", test_set="oodset")
    clip = load(save, "test")["p232_001"]
    assert clip["noisy_wav"] == "{data_root}/noisy_oodset_wav/p232_001.flac"
    assert clip["length"] == 800 / 48000


def test_files_that_are_not_clips_are_ignored(corpus, save):
    folder = corpus / "noisy_testset_wav_16k"
    (folder / "._p232_001.wav").write_bytes(b"macOS")
    (folder / "log.txt").write_text("p232_001 cafe 17.5")
    prepare(corpus, save)
    assert list(load(save, "test")) == list(TEST)


def test_one_speaker_may_be_a_string(corpus, save):
    prepare(corpus, save, valid_speakers="p227")
    assert list(load(save, "valid")) == ["p227_001"]


# When to prepare again


def test_second_call_is_skipped_and_says_so(corpus, save, monkeypatch, caplog):
    prepare(corpus, save)
    monkeypatch.setattr(soundfile, "SoundFile", None)  # reading would fail
    with caplog.at_level(logging.INFO):
        prepare(corpus, save)
    assert "skipped" in caplog.text


def test_a_moved_corpus_is_still_prepared(corpus, save, monkeypatch):
    prepare(corpus, save)
    moved = shutil.move(corpus, corpus.with_name("elsewhere"))
    monkeypatch.setattr(soundfile, "SoundFile", None)
    prepare(moved, save)


def test_other_options_are_prepared_again(corpus, save):
    prepare(corpus, save)
    prepare(corpus, save, valid_speakers=["p227"])
    assert list(load(save, "valid")) == ["p227_001"]


def test_changed_files_are_checked_again(corpus, save):
    prepare(corpus, save)
    before = (save / "train.json").read_bytes()
    path = corpus / "noisy_trainset_28spk_wav_16k" / "p225_001.wav"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated"):
        prepare(corpus, save)
    assert (save / "train.json").read_bytes() == before  # an error changes nothing


@pytest.mark.parametrize("stamp", [None, "", "{", "[]"])
def test_manifests_of_unknown_origin_are_prepared_again(corpus, save, stamp):
    save.mkdir()
    for name in ("train", "valid", "test"):
        (save / f"{name}.json").write_text("{}")
    if stamp is not None:
        (save / "prepare.json").write_text(stamp)
    prepare(corpus, save)
    assert len(load(save, "train")) == 3


def test_skip_prep_trusts_what_is_there(corpus, save):
    prepare(corpus, save)
    prepare("no such corpus", save, skip_prep=True)


def test_skip_prep_without_manifests(corpus, save):
    fails(corpus, save, "train.json, valid.json", FileNotFoundError, skip_prep=True)


# Options and folders that are wrong


def test_misspelt_data_folder(corpus, save):
    wrong = corpus.with_name("Voicebank")
    fails(wrong, save, f"Did you mean {corpus}", FileNotFoundError)


def test_misspelt_parent_of_data_folder(corpus, save):
    wrong = corpus.parent.with_name(corpus.parent.name + "x") / corpus.name
    fails(wrong, save, f"Did you mean {corpus.parent}", FileNotFoundError)


def test_data_folder_is_one_level_too_high(corpus, save):
    fails(corpus.parent, save, f"set data_folder to {corpus}", FileNotFoundError)


def test_data_folder_is_a_file(tmp_path, save):
    (tmp_path / "DS_10283_2791.zip").touch()
    fails(tmp_path / "DS_10283_2791.zip", save, "is not a folder", FileNotFoundError)


def test_missing_sub_folder(corpus, save):
    shutil.rmtree(corpus / "clean_testset_wav_16k")
    message = fails(
        corpus, save, "no folder 'clean_testset_wav_16k'", FileNotFoundError
    )
    assert "it holds clean_trainset_28spk_wav_16k, noisy_testset_wav_16k" in message
    assert f"Did you mean {corpus / 'noisy_testset_wav_16k'}" in message


def test_only_the_48_khz_folder_is_there(corpus, save):
    for kind in ("noisy", "clean"):
        folder = corpus / f"{kind}_testset_wav_16k"
        folder.rename(corpus / f"{kind}_testset_wav")
    match = "noisy_testset_wav is there, which is for 48000 Hz: resample"
    fails(corpus, save, match, FileNotFoundError)


def test_only_the_16_khz_folder_is_there(corpus, save):
    match = "noisy_trainset_28spk_wav_16k is there, .* set sample_rate to 16000"
    fails(corpus, save, match, FileNotFoundError, sample_rate=48000)


def test_unknown_train_set(corpus, save):
    fails(corpus, save, r"train_set is '28'.*28spk.*56spk", train_set="28")


def test_unknown_sample_rate(corpus, save):
    fails(corpus, save, "sample_rate is 44100.*16000, 48000", sample_rate=44100)


def test_unknown_test_set(corpus, save):
    fails(corpus, save, "noisy_ood_wav_16k", FileNotFoundError, test_set="ood")


def test_empty_folder(corpus, save):
    for path in (corpus / "noisy_testset_wav_16k").iterdir():
        path.unlink()
    fails(corpus, save, "noisy_testset_wav_16k has no .wav or .flac")


@pytest.mark.parametrize("speakers", [["p999"], ["p226", "p999"], ["p232"], []])
def test_validation_speakers_that_are_not_there(corpus, save, speakers):
    match = "no validation clips.*p225, p226, p227"
    fails(corpus, save, match, valid_speakers=speakers)


def test_no_speaker_is_left_to_train_on(corpus, save):
    speakers = ["p225", "p226", "p227"]
    fails(corpus, save, "nothing is left to train on", valid_speakers=speakers)


# Clips that do not fit together


@pytest.mark.parametrize("kind, other", [("noisy", "clean"), ("clean", "noisy")])
def test_half_a_pair(corpus, save, kind, other):
    (corpus / f"{other}_testset_wav_16k" / "p257_001.wav").unlink()
    match = rf"{kind}_testset_wav_16k/p257_001.wav has no {other} clip"
    fails(corpus, save, match, FileNotFoundError)


def test_a_test_clip_in_the_training_set(corpus, save):
    for kind in ("noisy", "clean"):
        clip = corpus / f"{kind}_testset_wav_16k" / "p232_001.wav"
        shutil.copy(clip, corpus / f"{kind}_trainset_28spk_wav_16k")
    fails(corpus, save, "both the training and the test set, such as p232_001")


def test_one_clip_in_two_formats(corpus, save):
    folder = corpus / "noisy_testset_wav_16k"
    shutil.copy(folder / "p232_001.wav", folder / "p232_001.flac")
    fails(corpus, save, "both p232_001.flac and p232_001.wav")


def test_pair_of_different_length(corpus, save):
    path = corpus / "clean_testset_wav_16k" / "p232_001.wav"
    soundfile.write(path, np.zeros(700), RATE)
    fails(corpus, save, "p232_001.wav has 800 samples but .* has 700: cut both")


# Files that are broken. Each is the clean half of p257_001 (880 samples).


def spoil(corpus, extension, spoiler):
    """Replace a pair by FLAC or WAV files and pass the clean one to `spoiler`."""
    for kind in ("noisy", "clean"):
        path = corpus / f"{kind}_testset_wav_16k" / "p257_001.wav"
        audio, rate = soundfile.read(path)
        path.unlink()
        path = path.with_suffix(f".{extension}")
        soundfile.write(path, audio, rate)
    spoiler(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def cut_header(path):
    path.write_bytes(path.read_bytes()[:20])


def promise_more_flac(path):
    data = bytearray(path.read_bytes())
    data[22:26] = (2000).to_bytes(4, "big")  # the sample count in STREAMINFO
    path.write_bytes(data)


def stream_flac(path):
    data = bytearray(path.read_bytes())
    data[22:26] = bytes(4)  # STREAMINFO: 0 stands for "unknown"
    path.write_bytes(data)


def put(value):
    def spoiler(path):
        audio = np.zeros(880, dtype="float32")
        audio[400] = value
        soundfile.write(path, audio, RATE, subtype="FLOAT")

    return spoiler


def write(*shape, rate=RATE):
    return lambda path: soundfile.write(path, np.zeros(shape), rate)


@pytest.mark.parametrize(
    "extension, spoiler, match",
    [
        ("wav", write(880, rate=44100), "sample rate of 44100 Hz, not 16000 Hz"),
        ("wav", write(880, 2), "has 2 channels"),
        ("wav", cut, r"is truncated \(200 bytes fewer"),
        ("flac", cut, "may be truncated or damaged"),
        ("flac", promise_more_flac, "truncated"),
        ("flac", stream_flac, "does not state its length"),
        ("wav", cut_header, "may be truncated or damaged"),
        ("wav", lambda path: path.write_bytes(b""), "is empty .0 bytes"),
        ("flac", lambda path: path.write_bytes(b""), "is empty .0 bytes"),
        ("wav", write(0), "is empty .0 samples"),
        ("flac", write(0), "is empty"),
        ("wav", lambda path: path.write_text("<html>404</html>"), "cannot be read"),
        ("wav", put(np.nan), "NaN or infinite"),
        ("wav", put(-np.inf), "NaN or infinite"),
    ],
)
def test_broken_file(corpus, save, extension, spoiler, match):
    spoil(corpus, extension, spoiler)
    message = fails(corpus, save, match)
    assert "p257_001: " in message
    assert f"clean_testset_wav_16k/p257_001.{extension}" in message
    assert "1 unusable clip" in message


def test_all_bad_clips_are_in_one_error(corpus, save):
    for clip in TRAIN[:3]:
        cut(corpus / "noisy_trainset_28spk_wav_16k" / f"{clip}.wav")
    message = fails(corpus, save, "3 unusable clip")
    assert all(f"{clip}.wav is truncated" in message for clip in TRAIN[:3])


# Interruption


@pytest.mark.parametrize("successes", range(4))
@pytest.mark.parametrize("error", [OSError("disk is full"), KeyboardInterrupt()])
def test_nothing_is_left_if_writing_fails(corpus, save, monkeypatch, successes, error):
    real, calls = os.replace, []

    def replace(*paths):
        if len(calls) == successes:
            raise error
        calls.append(paths)
        real(*paths)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(type(error)):
        prepare(corpus, save)
    assert os.listdir(save) == []
