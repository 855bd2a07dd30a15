"""Both preparations: a file is in a manifest, or named with what is wrong with it."""

import csv
import json
import logging
import multiprocessing
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from dns_tree import noise, write
from odd_files import BAD, BY_FFMPEG, GOOD, make_folder

from speechbrain_mal.audio.ffmpeg import FFMPEG_SUFFIXES, find_ffmpeg
from speechbrain_mal.data import paired_dataset, prepare_dns, prepare_voicebank
from speechbrain_mal.data import scan as scan_module
from speechbrain_mal.data.dns import hold_out, speaker_of
from speechbrain_mal.data.manifests import is_current, write_manifests
from speechbrain_mal.data.plan import Piece
from speechbrain_mal.data.sources import Sources
from speechbrain_mal.files import printable

RATE = 16000
KINDS = ("clean", "noise", "rir")
TRAIN = ("p225_001", "p225_002", "p226_001", "p226_002", "p227_001")
TEST = ("p232_001", "p257_001")


class VoiceBank:
    """A corpus in VoiceBank-DEMAND's layout, and its preparation."""

    strict = {}

    def __init__(self, folder):
        self.root, self.out = folder / "VoiceBank", folder / "manifests"
        for i, clip in enumerate(TRAIN + TEST):
            for path in self.pair(f"{clip}.wav"):
                write(path, noise(800 + 80 * i))

    def pair(self, name):
        name_of_set = "testset" if name[:8] in TEST else "trainset_28spk"
        folders = [f"{kind}_{name_of_set}_wav_16k" for kind in ("noisy", "clean")]
        return [self.root / folder / name for folder in folders]

    def add(self, name, make):
        """Add a clip with one file made by `make`; return that file."""
        noisy, clean = self.pair(name)
        write(noisy.with_suffix(".wav"))
        make(clean)
        return clean

    def prepare(self, sample_rate=RATE, **options):
        options = {"valid_speakers": ["p226"], **options}
        prepare_voicebank(self.root, self.out, sample_rate, **options)
        names = ("train", "valid", "test")
        return {s: json.loads((self.out / f"{s}.json").read_text()) for s in names}


class DNS:
    """A corpus in DNS4's layout, with the names that files have there."""

    strict = {"max_bad_share": 0}

    def __init__(self, folder):
        self.root, self.out = folder / "DNS4", folder / "manifests"
        clean = self.root / "clean_fullband"
        for reader in range(12):
            for part in range(2):
                name = f"book_00{part}_chp_0009_reader_{reader:05d}_{part}_seg_1.wav"
                write(clean / "read_speech" / name)
        for speaker in ("p225", "p226"):
            name = f"{speaker}/{speaker}_001_mic1.flac"
            write(clean / "vctk_wav48_silence_trimmed" / name)
        write(clean / "emotional_speech/crema_d/1001_DFA_ANG_XX.wav")
        write(clean / "german_speech/M-AILABS_f000012.wav")
        for i in range(6):
            write(self.root / f"noise_fullband/freesound_{i}.wav")
        for i in range(4):
            write(self.root / f"impulse_responses/SLR26/Room{i}/{i}.wav")

    def add(self, name, make):
        path = self.root / "noise_fullband" / name
        make(path)
        return path

    def prepare(self, sample_rate=RATE, **options):
        prepare_dns(self.root, self.out, sample_rate, **options)
        paths = self.out.glob("*_*.json")
        return {tuple(p.stem.split("_")): json.loads(p.read_text()) for p in paths}

    def files(self, kind, **options):
        """Return the files of a kind, of both splits together."""
        manifests = self.prepare(**options)
        train, valid = manifests["train", kind], manifests["valid", kind]
        assert not train.keys() & valid.keys() and train and valid
        return train | valid

    def left_out(self):
        with open(self.out / "left_out.csv", newline="", encoding="utf-8") as file:
            return {row["file"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(params=[VoiceBank, DNS])
def corpus(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def voicebank(tmp_path):
    return VoiceBank(tmp_path)


@pytest.fixture
def dns(tmp_path):
    return DNS(tmp_path)


@pytest.fixture
def looked_at(monkeypatch):
    """Return the list of the files that are read from now on."""
    seen, look = [], scan_module._look

    def noted(path, decode):
        seen.append(path.name)
        return look(path, decode)

    monkeypatch.setattr(scan_module, "_look", noted)
    return seen


# Odd files


def empty(path):
    path.write_bytes(b"")


def fault_of(path, file):
    """Return what is to be said of an odd file, as far as both preparations do."""
    if file.failure or path.suffix == ".mp3" or "unknown" in path.name:
        return f"{file.failure or '^$'}|convert it"  # no exact pieces
    return "convert it" if path.suffix in FFMPEG_SUFFIXES else ""


def test_a_noise_folder_of_odd_files(dns):
    remarks = {"silent": "silent", "one_sample": "silent", "loud": "clipped"}
    reasons = {}
    for path, file in make_folder(dns.root / "odd").items():
        reason = fault_of(path, file)
        rate = RATE if reason else soundfile.info(os.fsencode(path)).samplerate
        reason = reason or (f"{rate} Hz, less than" if rate < RATE else "")
        reason = reason or remarks.get(path.stem.rstrip("2"), "")
        reasons[path.relative_to(dns.root).as_posix()] = reason
    used = dns.files("noise", noise_folder="odd", max_bad_share=0.9)
    left_out = dns.left_out()
    assert used.keys() == {name for name, reason in reasons.items() if not reason}
    assert len(left_out) > 35
    for name, reason in reasons.items():
        if reason:
            assert re.search(reason, left_out.pop(printable(name))), name
    assert not left_out
    # What is used can be read in pieces, and these are exact.
    (dns.out / "used.json").write_text(json.dumps(used))
    sources = Sources({"noise": dns.out / "used.json"}, dns.root, RATE)
    for i, (name, entry) in enumerate(used.items()):
        if entry["sample_rate"] != RATE or entry["samples"] < 8000:
            continue
        whole, _ = soundfile.read(os.fsencode(dns.root / name), always_2d=True)
        piece = sources.read("noise", Piece(i, 3000, 2000))
        np.testing.assert_array_equal(piece, whole[3000:5000, 0].astype("float32"))


def test_voicebank_folders_of_odd_files(voicebank):
    every = {**GOOD, **BAD, **(BY_FFMPEG if find_ffmpeg() else {})}
    reasons = {}
    for name, file in every.items():
        for path in voicebank.pair(name):
            path.parent.mkdir(exist_ok=True, parents=True)
            file.make(path)
        reason = fault_of(path, file)
        if not reason:
            info = soundfile.info(os.fsencode(path))
            reason = "" if info.samplerate == RATE else "a sample rate of"
            reason = reason or ("" if info.channels == 1 else "channels: keep one")
        reasons[name] = reason
    for _ in range(10):  # ten clips are told of at a time
        try:
            found = voicebank.prepare()
            break
        except ValueError as error:
            lines = str(error).splitlines()[1:]
        for name in [name for name, reason in reasons.items() if reason]:
            for line in lines:
                if f"/{printable(name)}: " in line:
                    assert re.search(reasons.pop(name), line), line
                    for path in voicebank.pair(name):
                        path.unlink()
                    break
    assert not any(reasons.values())
    assert found["train"].keys() == {Path(name).stem for name in reasons} | {
        clip for clip in TRAIN if not clip.startswith("p226")
    }
    dataset = paired_dataset(voicebank.out / "train.json", voicebank.root)
    for clip in dataset:
        assert torch.equal(clip["noisy"], clip["clean"])


@pytest.mark.parametrize("where", [slice(22, 26), slice(5000, 5200)])
def test_what_only_decoding_tells(corpus, where):
    def make(path):  # a FLAC of another length than its header's, or damaged within
        data = bytearray(write(path, noise(16000)).read_bytes())
        data[where] = (20_000).to_bytes(where.stop - where.start, "big")
        path.write_bytes(data)

    corpus.add("p225_005.flac", make)
    with pytest.raises(ValueError, match="p225_005.flac: .*(cut|damaged)"):
        corpus.prepare(**corpus.strict)


def test_a_decoder_that_stops_early_is_noticed(corpus, monkeypatch):
    # What a damaged file does depends on the version of libsndfile.
    read = soundfile.SoundFile.read

    def stop(self, *args, **options):
        block = read(self, *args, **options)
        return block[:0] if b"clean" in self.name or b"noise_" in self.name else block

    monkeypatch.setattr(soundfile.SoundFile, "read", stop)
    with pytest.raises(ValueError, match="cut off: it ends after 0 of the"):
        corpus.prepare()


# A scan that goes on, and manifests that are made again


def test_a_scan_that_stopped_goes_on(corpus, looked_at):
    whole = corpus.prepare()
    scan = corpus.out / "scan.jsonl"
    content = scan.read_bytes()
    lines = content.splitlines(keepends=True)
    assert len(looked_at) == len(lines)
    for kept, more in [(0, 0), (0, 25), (9, 0), (9, 25)]:
        for path in corpus.out.glob("*.json"):  # they come last: there were none yet
            path.unlink()
        scan.write_bytes(b"[]\nnull\n" + content[: len(b"".join(lines[:kept])) + more])
        looked_at.clear()
        assert corpus.prepare() == whole
        assert len(looked_at) == len(lines) - kept
        # What was cut off spoils neither the next line nor the next scan.
        looked_at.clear()
        (corpus.out / "prepare.json").unlink()
        corpus.prepare()
        assert not looked_at


def test_an_interrupted_scan_keeps_what_it_saw(corpus, looked_at, monkeypatch):
    look = scan_module._look

    def interrupted(path, decode):
        if len(looked_at) >= 9:
            raise KeyboardInterrupt
        return look(path, decode)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scan_module, "_look", interrupted)
        corpus.prepare()
    assert not list(corpus.out.glob("*.json"))
    seen = len((corpus.out / "scan.jsonl").read_text().splitlines())
    looked_at.clear()
    corpus.prepare()
    files = [path for path in corpus.root.rglob("*") if path.is_file()]
    assert 0 < seen == len(files) - len(looked_at)


def test_what_is_not_for_use_is_named(corpus):
    for rate in (0, 1, -16000, 16000.5, "abc", None, True):
        with pytest.raises(ValueError, match="sample_rate is "):
            corpus.prepare(rate)
    corpus.out.mkdir()
    os.mkfifo(corpus.out / "scan.jsonl")
    with pytest.raises(ValueError, match="scan.jsonl: not a regular file"):
        corpus.prepare()


def test_manifests_are_made_again_when_files_change(corpus, looked_at, caplog):
    corpus.add("p225_005.wav", write)
    corpus.prepare()
    looked_at.clear()
    before = {path: path.stat().st_mtime_ns for path in corpus.out.iterdir()}
    corpus.root = shutil.move(corpus.root, corpus.root.with_name("elsewhere"))
    with caplog.at_level(logging.INFO):
        corpus.prepare()
    assert "up to date" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in corpus.out.iterdir()} == before
    assert not looked_at
    os.utime(corpus.add("p225_005.wav", write), (0, 0))
    corpus.prepare()
    assert set(looked_at) == {"p225_005.wav"}  # and no others


@pytest.mark.parametrize("content", ["", "null", "{}"])
@pytest.mark.parametrize("every", [True, False])
def test_manifests_of_unknown_origin_are_made_again(corpus, content, every):
    whole = corpus.prepare()
    for path in corpus.out.glob("*.json"):
        if every or path.name.startswith("train"):
            path.write_text(content)
    assert corpus.prepare() == whole


def test_skip_prep_trusts_what_is_there(corpus, looked_at):
    with pytest.raises(FileNotFoundError, match="skip_prep is set.*has no train"):
        corpus.prepare(skip_prep=True)
    before = corpus.prepare()
    looked_at.clear()
    shutil.rmtree(corpus.root)
    assert corpus.prepare(skip_prep=True) == before
    assert not looked_at


def manifests(version):
    return {f"{s}.json": {"p225_001": {"version": version}} for s in "abc"}


def write_and_die(folder, successes):
    """Die as by SIGKILL, without any clean-up, at a given replacement."""
    real, calls = os.replace, []

    def replace(*paths):
        if len(calls) == successes:
            os._exit(9)
        calls.append(paths)
        real(*paths)

    os.replace = replace
    write_manifests(folder, manifests(2), {"version": 2})


@pytest.mark.parametrize("successes", range(4))
def test_a_kill_never_leaves_a_mixed_set(tmp_path, successes):
    write_manifests(tmp_path, manifests(1), {"version": 1})
    process = multiprocessing.get_context("fork").Process(
        target=write_and_die, args=(tmp_path, successes)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    visible = [path for path in tmp_path.glob("[!.]*.json")]
    versions = {json.loads(path.read_text())["p225_001"]["version"] for path in visible}
    assert versions <= {2}
    for version in (1, 2):  # it is prepared again
        assert not is_current(tmp_path, manifests(1), {"version": version})


def test_old_manifests_stay_if_the_new_ones_cannot_be_written(tmp_path):
    write_manifests(tmp_path, manifests(1), {"version": 1})
    with pytest.raises(TypeError):
        write_manifests(tmp_path, {**manifests(2), "c.json": object()}, {})
    assert is_current(tmp_path, manifests(1), {"version": 1})
    assert len(os.listdir(tmp_path)) == 4


# VoiceBank


def test_voicebank_is_split_by_speaker(voicebank):
    found = voicebank.prepare()
    assert list(found["train"]) == ["p225_001", "p225_002", "p227_001"]  # by id
    assert list(found["valid"]) == ["p226_001", "p226_002"]
    assert list(found["test"]) == list(TEST)
    assert found["train"]["p225_002"] == {
        "noisy_wav": "{data_root}/noisy_trainset_28spk_wav_16k/p225_002.wav",
        "clean_wav": "{data_root}/clean_trainset_28spk_wav_16k/p225_002.wav",
        "length": 880 / RATE,
        "samples": 880,
        "speaker": "p225",
    }
    assert list(voicebank.prepare(valid_speakers="p227")["valid"]) == ["p227_001"]


def test_48_khz_56spk_and_another_test_set_nested_in_itself(voicebank):
    for folder in list(voicebank.root.iterdir()):
        for path in folder.iterdir():
            write(path, noise(), rate=48000)
        name = folder.name.replace("28", "56").replace("testset", "oodset")
        name = name.removesuffix("_16k")
        moved = folder.rename(folder.with_name("moved"))
        moved.with_name(name).mkdir()
        moved.rename(folder.with_name(name) / name)
    options = {"train_set": "56spk", "test_set": "oodset"}
    clip = voicebank.prepare(48000, **options)["test"]["p232_001"]
    name = "noisy_oodset_wav"
    assert clip["noisy_wav"] == f"{{data_root}}/{name}/{name}/p232_001.wav"
    assert clip["length"] == 800 / 48000


def in_both_sets(voicebank):
    for path in voicebank.pair("p232_001.wav"):
        name = path.parent.name.replace("testset", "trainset_28spk")
        shutil.copy(path, path.parent.with_name(name))


def rename_test_sets(voicebank):
    for folder in list(voicebank.root.glob("*testset*")):
        folder.rename(folder.with_name(folder.name.removesuffix("_16k")))


def all_wrong(voicebank):
    for clip in TRAIN + TEST:
        empty(voicebank.pair(f"{clip}.wav")[0])


def many_wrong(voicebank):
    for i in range(40):
        voicebank.add(f"p225_1{i:02}.wav", empty)


def rewrite(*args):
    """Return what writes the clean half of a clip anew."""
    return lambda v: write(v.pair("p232_001.wav")[1], *args)


MISTAKES = [
    (lambda v: setattr(v, "root", v.root.with_name("Voicebank")), {}, "mean .*VoiceB"),
    (lambda v: setattr(v, "root", v.root.parent), {}, "Set data_folder to .*VoiceBank"),
    (
        lambda v: shutil.rmtree(v.root / "clean_testset_wav_16k"),
        {},
        "clean_testset_wav_16k is not a folder.*holds clean_train.*mean .*noisy_testse",
    ),
    (rename_test_sets, {}, "noisy_testset_wav is there, .* 48000 Hz: resample"),
    (None, {"sample_rate": 48000}, "_wav_16k is there, .*set sample_rate to 16000"),
    (None, {"sample_rate": 44100}, "sample_rate is 44100: choose one of .16000, 48000"),
    (None, {"train_set": "28"}, "train_set is '28': .*28spk.*56spk"),
    (None, {"test_set": "ood"}, "noisy_ood_wav_16k is not a folder"),
    (
        lambda v: [p.unlink() for p in v.root.glob("noisy_testset*/*")],
        {},
        "noisy_testset_wav_16k has no audio file",
    ),
    *(
        (None, {"valid_speakers": s}, "no validation clips: .*p225, p226, p227")
        for s in (["p999"], ["p226", "p999"], ["p232"], [])
    ),
    (None, {"valid_speakers": ["p225", "p226", "p227"]}, "nothing is left to train on"),
    (
        lambda v: v.pair("p257_001.wav")[1].unlink(),
        {},
        "noisy_testset_wav_16k/p257_001.wav has no clean clip",
    ),
    (in_both_sets, {}, "both the training and the test set, such as p232_001"),
    (
        lambda v: write(v.pair("p225_001.flac")[0]),
        {},
        "p225_001.flac and noisy_.*p225_001.wav are both clip 'p225_001': keep one",
    ),
    (rewrite(noise(700)), {}, "p232_001.wav has 1200 samples, .* has 700: cut both"),
    (rewrite(noise(), 44100), {}, "clean.*: a sample rate of 44100 Hz, not 16000 Hz"),
    (rewrite(noise(1600).reshape(-1, 2)), {}, "p232_001.wav: 2 channels"),
    (all_wrong, {}, r"(?s)7 unusable clip\(s\) among the 7.*p225_001.*p257_001"),
    (many_wrong, {}, "10 unusable .* of 47 that were checked"),
]


@pytest.mark.parametrize(("change", "options", "message"), MISTAKES)
def test_a_wrong_voicebank_is_told(voicebank, change, options, message):
    if change:
        change(voicebank)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        voicebank.prepare(**options)
    assert not list(voicebank.out.glob("*.json"))


# DNS


def test_dns4_has_every_file_with_its_length_rate_and_speaker(dns):
    folders = ("clean_fullband", "noise_fullband", "impulse_responses")
    for kind, folder in zip(KINDS, folders, strict=True):
        files = dns.files(kind, valid_share=0.2)
        paths = (p for p in (dns.root / folder).rglob("*") if p.is_file())
        assert files.keys() == {p.relative_to(dns.root).as_posix() for p in paths}
        for entry in files.values():
            assert (entry["samples"], entry["sample_rate"]) == (800, RATE)
            assert kind == "clean" or "speaker" not in entry
    speakers = [entry.get("speaker") for entry in dns.files("clean").values()]
    readers = {f"{reader:05d}" for reader in range(12)}
    assert set(speakers) == {*readers, "p225", "p226", "1001", None}
    assert speakers.count(None) == 1  # the German one


def test_other_layouts_and_subsets(dns):
    subsets = ["vctk_wav48_silence_trimmed", "emotional_speech"]
    clean = dns.files("clean", clean_subsets=subsets)
    assert {name.split("/")[1] for name in clean} == set(subsets)
    subsets = ["read_speech", "."]  # one within the other
    assert len(dns.files("clean", clean_subsets=subsets)) == 28
    # DNS5: a track has its own folder of speech. DNS 2020: no responses.
    shutil.rmtree(dns.out)
    (dns.root / "Track1_Headset").mkdir()
    (dns.root / "clean_fullband").rename(dns.root / "Track1_Headset/clean")
    options = {"clean_folder": "Track1_Headset/clean", "rir_folder": None}
    assert len(dns.files("clean", **options)) == 28
    assert {kind for _, kind in dns.prepare(**options)} == {"clean", "noise"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"clean_folder": "clean"},
            r"clean_folder: .*DNS4/clean is not a folder. .*DNS4 holds clean_fullband,"
            r" impulse_responses, noise_fullband.* Name the folder of the clean files",
        ),
        (
            {"clean_subsets": ["read_speech", "italian_speech"]},
            r"italian_speech is not a folder. .* holds emotional_speech, german_speech,"
            r" read_speech, vctk_wav48_silence_trimmed",
        ),
        ({"rir_folder": "rir"}, "set rir_folder to null if there are none"),
        ({"noise_folder": "../noise"}, r"\.\./noise/? is not in data_folder"),
        ({"noise_folder": "/tmp"}, "/tmp/? is not in data_folder"),
        ({"valid_share": 0}, "valid_share is 0: it has to be between 0 and 1"),
        ({"valid_folders": {"clean": "a"}}, "valid_folders names .'clean'., but"),
    ],
)
def test_wrong_folders_and_settings_are_named(dns, options, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        dns.prepare(**options)


@pytest.mark.parametrize("decode", [True, False])
def test_what_mixtures_can_not_use_is_left_out(dns, decode):
    loud = np.clip(100 * noise(), -1, 1)
    for name, signal, rate in (
        ("silent", 1e-3 * noise(), RATE),
        ("clipped", loud, RATE),
        ("8000 Hz, less than 16000 Hz", noise(), 8000),
        ("silent 1", np.stack([0 * noise(), noise()], 1), RATE),  # the first channel is
        ("used", np.stack([noise(), 0 * noise()], 1), RATE),
    ):
        write(dns.root / f'noise_fullband/"{name}".wav', signal, rate)
    write(dns.root / "impulse_responses/loud.wav", loud)  # it may be
    files = dns.files("noise", decode=decode, max_bad_share=0.5)
    left_out = {name.split('"')[1]: why for name, why in dns.left_out().items()}
    expected = {"8000 Hz, less than 16000 Hz": "8000 Hz, less than 16000 Hz"}
    if decode:  # headers don't tell
        expected |= {"silent": "silent", "silent 1": "silent", "clipped": "clipped"}
    assert left_out == expected
    assert {name.split('"')[1] for name in files if '"' in name} == {
        "silent", "clipped", "8000 Hz, less than 16000 Hz", "silent 1", "used"
    } - expected.keys()  # fmt: skip
    assert "impulse_responses/loud.wav" in dns.files("rir", max_bad_share=0.5)


def test_too_many_bad_files_are_an_error_that_names_some(dns, looked_at):
    for i in range(2):
        dns.add(f"bad_{i}.wav", empty)
    dns.prepare(max_bad_share=0.25)
    looked_at.clear()
    message = r"(?s)2 of the .* 8 files of noise_fullband are unusable, more than max_"
    with pytest.raises(ValueError, match=message + r".*0.2\).*bad_1.wav: empty"):
        dns.prepare(max_bad_share=0.2)
    assert not looked_at  # nor is anything read again
    for path in (dns.root / "noise_fullband").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="8 of the first 8 of 8 files"):
        dns.prepare(max_bad_share=1.0)


def test_what_headers_told_does_not_stand_in_for_decoding(dns, looked_at):
    for decode in (False, True, False):
        dns.prepare(decode=decode)
    assert len(looked_at) == 2 * 38


def test_folders_for_validation(dns):
    folders = {kind: f"dev/{kind}" for kind in KINDS}
    for folder in folders.values():
        write(dns.root / folder / "0.wav")
    found = dns.prepare(valid_folders=folders)
    for kind in KINDS:
        assert list(found["valid", kind]) == [f"dev/{kind}/0.wav"]
    assert len(found["train", "clean"]) == 28
    message = "6 file.s. are in both the training and the validation folder of noise"
    with pytest.raises(ValueError, match=message):
        dns.prepare(valid_folders={**folders, "noise": "noise_fullband"})
    (dns.root / "dev/noise/0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 1 files of dev/noise are"):
        dns.prepare(valid_folders=folders)


# Who is held out


def test_speakers_names():
    for name, speaker in (
        ("clean/read_speech/book_1_chp_2_reader_06709_0.wav", "06709"),
        ("clean/vctk_wav48_silence_trimmed/p225/p225_001_mic1.flac", "p225"),
        ("clean/vctk_wav48_silence_trimmed/s5/s5_001_mic1.flac", "s5"),
        ("clean/emotional_speech/crema_d/1001_DFA_ANG_XX.wav", "1001"),
        ("speech/train/ls26/26-495-0000.flac", "ls26"),
        ("clean/german_speech/a_book.wav", None),
        ("clean/a.wav", None),
    ):
        assert speaker_of(name) == speaker


def held(speakers, share, files=3):
    """Return the speakers of training and of validation."""
    entries = {f"{s}_{i}.wav": {"speaker": s} for s in speakers for i in range(files)}
    divided = hold_out({"train_clean.json": entries}, share)
    splits = (divided[f"{split}_clean.json"].values() for split in ("train", "valid"))
    return [{entry["speaker"] for entry in split} for split in splits]


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_about_the_share_of_the_speakers_is_held_out_whole(share):
    speakers = [f"reader {i}" for i in range(1000)]
    train, valid = held(speakers, share)
    # A binomial share of 1000 has a standard deviation of 0.016 at most.
    assert len(valid) / 1000 == pytest.approx(share, abs=0.05)
    assert not train & valid and train | valid == set(speakers)
    assert held(speakers[:100], share)[1] == valid & set(speakers[:100])  # they stay


def test_both_splits_have_a_file_whatever_the_share():
    for share in (1e-9, 1 - 1e-9):
        assert all(held("ab", share))
    assert held("a", 0.01, files=2) == [{"a"}, {"a"}]  # a speaker in both, then
    with pytest.raises(ValueError, match="train_clean.json: one file cannot be"):
        held("a", 0.01, files=1)
