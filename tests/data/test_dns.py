"""Every file is in one manifest, or left out and named with the reason."""

import csv
import json
import re

import numpy as np
import pytest
import soundfile

from speechbrain_mal.data import audio_scan, prepare_dns

RATE = 16000
SAMPLES = 800
KINDS = ("clean", "noise", "rir")


def noise(samples=SAMPLES, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(samples)


def write(path, signal=None, rate=RATE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise() if signal is None else signal, rate, **options)
    return path


@pytest.fixture
def corpus(tmp_path):
    """Return DNS4's folders, with the names that files have there."""
    root = tmp_path / "DNS4"
    clean = root / "clean_fullband"
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
        write(root / f"noise_fullband/freesound_{i}.wav")
    for i in range(4):
        write(root / f"impulse_responses/SLR26/simulated_rirs_48k/Room{i}/{i}.wav")
    return root


@pytest.fixture
def out(tmp_path):
    return tmp_path / "manifests"


def prepare(corpus, out, **options):
    """Return the manifests' contents by (split, kind)."""
    prepare_dns(corpus, out, RATE, **options)
    return {
        tuple(path.stem.split("_")): json.loads(path.read_text())
        for path in out.glob("*_*.json")
    }


def files_of(manifests, kind):
    """Return what is known of the files of a kind, of both splits together."""
    train, valid = manifests["train", kind], manifests["valid", kind]
    assert not train.keys() & valid.keys() and train and valid
    return train | valid


def left_out(out):
    with open(out / "left_out.csv", newline="", encoding="utf-8") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def names_in(folder, root):
    return {str(p.relative_to(root)) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def looked_at(monkeypatch):
    """Return the list of the files that are decoded from now on."""
    seen, look = [], audio_scan._decoded

    def noted(path):
        seen.append(path.name)
        return look(path)

    monkeypatch.setattr(audio_scan, "_decoded", noted)
    return seen


# Layouts


def test_dns4_has_every_file_with_its_length_rate_and_speaker(corpus, out):
    manifests = prepare(corpus, out, valid_share=0.2)
    folders = ("clean_fullband", "noise_fullband", "impulse_responses")
    for kind, folder in zip(KINDS, folders, strict=True):
        files = files_of(manifests, kind)
        assert files.keys() == names_in(corpus / folder, corpus)
        for entry in files.values():
            assert (entry["samples"], entry["sample_rate"]) == (SAMPLES, RATE)
            assert kind == "clean" or "speaker" not in entry
    speakers = [entry.get("speaker") for entry in files_of(manifests, "clean").values()]
    readers = {f"{reader:05d}" for reader in range(12)}
    assert set(speakers) == {*readers, "p225", "p226", "1001", None}
    assert speakers.count(None) == 1  # the German one


def test_dns5_one_track(corpus, out, tmp_path):
    # A track has its own folder of speech, and is read from where it was unpacked.
    root = tmp_path / "DNS5"
    (root / "Track1_Headset").mkdir(parents=True)
    (corpus / "clean_fullband").rename(root / "Track1_Headset/clean")
    (corpus / "noise_fullband").rename(root / "noise")
    (corpus / "impulse_responses").rename(root / "impulse_responses")
    manifests = prepare(
        root, out, clean_folder="Track1_Headset/clean", noise_folder="noise"
    )
    clean = files_of(manifests, "clean")
    assert clean.keys() == names_in(root / "Track1_Headset", root)


def test_dns_2020_without_responses(tmp_path, out):
    for i in range(4):
        write(tmp_path / f"DNS/clean/book_0_chp_1_reader_{i:05d}_0.wav")
        write(tmp_path / f"DNS/noise/{i}.wav")
    manifests = prepare(
        tmp_path / "DNS", out, clean_folder="clean", noise_folder="noise",
        rir_folder=None,
    )  # fmt: skip
    assert {kind for _, kind in manifests} == {"clean", "noise"}
    assert len(files_of(manifests, "clean")) == 4


def test_subsets_are_the_folders_that_are_named(corpus, out):
    subsets = ["vctk_wav48_silence_trimmed", "emotional_speech"]
    clean = files_of(prepare(corpus, out, clean_subsets=subsets), "clean")
    assert {name.split("/")[1] for name in clean} == set(subsets)
    everything = files_of(prepare(corpus, out), "clean")
    assert len(everything) == 28 and clean.keys() < everything.keys()


def test_folders_that_are_links_are_read(corpus, out, tmp_path):
    elsewhere = tmp_path / "disk2"
    (corpus / "clean_fullband/read_speech").rename(elsewhere)
    (corpus / "clean_fullband/read_speech").symlink_to(elsewhere)
    assert len(files_of(prepare(corpus, out), "clean")) == 28


def test_what_is_not_audio_is_no_file_of_the_corpus(corpus, out):
    (corpus / "noise_fullband/README.txt").write_text("licences")
    (corpus / "noise_fullband/._freesound_0.wav").write_bytes(b"of macOS")
    assert len(files_of(prepare(corpus, out), "noise")) == 6
    assert left_out(out) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"clean_folder": "clean"},
            r"DNS4/clean is not a folder: .*DNS4 holds clean_fullband,"
            r" impulse_responses, noise_fullband. Name the folder of the clean files",
        ),
        (
            {"clean_subsets": ["read_speech", "italian_speech"]},
            r"italian_speech is not a folder: .* holds emotional_speech, german_speech,"
            r" read_speech, vctk_wav48_silence_trimmed",
        ),
        ({"rir_folder": "rir"}, "set rir_folder to null if there are none"),
    ],
)
def test_a_missing_folder_is_named_with_what_is_there(corpus, out, options, message):
    with pytest.raises(FileNotFoundError, match=message):
        prepare(corpus, out, **options)


def test_a_missing_or_empty_corpus_is_named(corpus, out):
    with pytest.raises(FileNotFoundError, match="data_folder .*nowhere is not a"):
        prepare(corpus / "nowhere", out)
    (corpus / "more").mkdir()
    with pytest.raises(ValueError, match=r"more has no .wav or .flac file: is it"):
        prepare(corpus, out, noise_folder="more")


# What is unusable


def nan(path):
    signal = noise()
    signal[500] = np.nan
    write(path, signal, subtype="FLOAT")


def clipped(path):
    write(path, np.clip(100 * noise(), -1, 1))


def cut_off(path):
    write(path)
    path.write_bytes(path.read_bytes()[:1000])


FAULTS = {
    "unreadable": (lambda path: path.write_bytes(b"RIFF, and no more"), "unreadable"),
    "zero bytes": (lambda path: path.write_bytes(b""), r"empty \(0 bytes\)"),
    "no samples": (lambda path: write(path, np.zeros(0)), r"empty \(0 samples\)"),
    "truncated": (cut_off, "truncated"),
    "low rate": (lambda path: write(path, rate=8000), "8000 Hz, less than 16000 Hz"),
    "silent": (lambda path: write(path, 1e-4 * noise()), "silent"),
    "NaN": (nan, "NaN or infinite"),
    "clipped": (clipped, "clipped"),
}
IN_HEADER = ("unreadable", "zero bytes", "no samples", "truncated", "low rate")


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_file_is_left_out_and_named(corpus, out, fault, decode):
    make, reason = FAULTS[fault]
    names = [f"noise_fullband/{stem}.wav" for stem in ("a", 'b "quoted", b')]
    for name in names:
        make(corpus / name)
    manifests = prepare(corpus, out, decode=decode, max_bad_share=0.5)
    if decode or fault in IN_HEADER:
        assert not set(names) & files_of(manifests, "noise").keys()
        assert left_out(out).keys() == set(names)
        for found in left_out(out).values():
            assert re.match(reason, found)
    else:
        assert set(names) < files_of(manifests, "noise").keys()
        assert left_out(out) == {}


def test_a_flac_damaged_in_its_middle_is_found(corpus, out):
    path = write(corpus / "noise_fullband/a.flac", noise(16000))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    prepare(corpus, out, max_bad_share=0.5)
    assert left_out(out).keys() == {"noise_fullband/a.flac"}


def test_responses_may_be_at_full_scale(corpus, out):
    clipped(corpus / "impulse_responses/loud.wav")
    assert "impulse_responses/loud.wav" in files_of(prepare(corpus, out), "rir")


def test_of_several_channels_the_first_counts(corpus, out):
    silence = np.zeros(SAMPLES)
    write(corpus / "noise_fullband/left.wav", np.stack([noise(), silence], 1))
    write(corpus / "noise_fullband/right.wav", np.stack([silence, noise()], 1))
    files = files_of(prepare(corpus, out, max_bad_share=0.5), "noise")
    assert files["noise_fullband/left.wav"]["samples"] == SAMPLES
    assert left_out(out) == {"noise_fullband/right.wav": "silent"}


def test_too_many_bad_files_are_an_error_that_names_some(corpus, out):
    for i in range(2):
        (corpus / f"noise_fullband/bad_{i}.wav").write_bytes(b"")
    message = r"2 of the 8 files of .*noise_fullband are unusable, more than max_bad_"
    with pytest.raises(ValueError, match=message + r"share \(0.2\)[^$]*bad_1.wav: emp"):
        prepare(corpus, out, max_bad_share=0.2)
    assert not list(out.glob("*_noise.json"))
    prepare(corpus, out, max_bad_share=0.25)


def test_no_usable_file_is_an_error_at_any_share(corpus, out):
    for path in (corpus / "noise_fullband").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="6 of the 6 files"):
        prepare(corpus, out, max_bad_share=1.0)


def test_a_lower_share_is_looked_at_again(corpus, out, looked_at):
    (corpus / "noise_fullband/bad.wav").write_bytes(b"")
    prepare(corpus, out, max_bad_share=0.5)
    looked_at.clear()
    with pytest.raises(ValueError, match="1 of the 7 files"):
        prepare(corpus, out, max_bad_share=0.1)
    assert not looked_at


def test_too_many_bad_files_of_validation_are_told_with_their_folder(corpus, out):
    folders = {kind: f"dev/{kind}" for kind in KINDS}
    for folder in folders.values():
        write(corpus / folder / "0.wav")
    (corpus / "dev/noise/0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of the 1 files of .*DNS4/dev/noise are"):
        prepare(corpus, out, valid_folders=folders)


def test_a_subset_within_another_counts_once(corpus, out):
    for i in range(6):
        (corpus / f"clean_fullband/read_speech/bad_{i}.wav").write_bytes(b"")
    subsets = ["read_speech", "."]
    with pytest.raises(ValueError, match="6 of the 34 files"):
        prepare(corpus, out, clean_subsets=subsets)


# Once


def test_manifests_that_are_current_are_kept(corpus, out, looked_at):
    prepare(corpus, out)
    assert len(looked_at) == len(set(looked_at)) == 38
    looked_at.clear()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    prepare(corpus, out)
    assert not looked_at
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_other_settings_make_manifests_anew_without_reading(corpus, out, looked_at):
    before = prepare(corpus, out)
    looked_at.clear()
    assert prepare(corpus, out, valid_share=0.5) != before
    assert not looked_at


def test_files_that_changed_or_came_are_read_and_no_others(corpus, out, looked_at):
    prepare(corpus, out)
    looked_at.clear()
    write(corpus / "noise_fullband/freesound_3.wav", noise(900))
    write(corpus / "noise_fullband/new.wav")
    files = files_of(prepare(corpus, out), "noise")
    assert sorted(looked_at) == ["freesound_3.wav", "new.wav"]
    assert files["noise_fullband/freesound_3.wav"]["samples"] == 900


def test_what_headers_told_does_not_stand_in_for_decoding(corpus, out, looked_at):
    prepare(corpus, out, decode=False)
    assert not looked_at
    prepare(corpus, out)
    assert len(looked_at) == 38


@pytest.mark.parametrize("lines", [0, 1, 20])
@pytest.mark.parametrize("more_bytes", [0, 25])
def test_a_killed_scan_goes_on(corpus, out, looked_at, lines, more_bytes):
    whole = prepare(corpus, out)
    progress = out / "scan.jsonl"
    content = progress.read_bytes()
    written = content.splitlines(keepends=True)
    for path in out.glob("*.json"):  # they come last: there were none yet
        path.unlink()
    progress.write_bytes(content[: len(b"".join(written[:lines])) + more_bytes])
    looked_at.clear()
    assert prepare(corpus, out) == whole
    known = {json.loads(line)["name"].split("/")[-1] for line in written[:lines]}
    assert len(looked_at) == 38 - lines and not known & set(looked_at)
    # What was cut off spoils neither the next line nor the next scan.
    looked_at.clear()
    prepare(corpus, out, valid_share=0.5)
    assert not looked_at


def test_an_interrupted_scan_keeps_what_it_saw(corpus, out, looked_at, monkeypatch):
    look = audio_scan._decoded

    def interrupted(path):
        if len(looked_at) >= 20:
            raise KeyboardInterrupt
        return look(path)

    monkeypatch.setattr(audio_scan, "_decoded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, out)
    assert not list(out.glob("*.json"))
    seen = [json.loads(line) for line in (out / "scan.jsonl").read_text().splitlines()]
    monkeypatch.setattr(audio_scan, "_decoded", look)
    looked_at.clear()
    prepare(corpus, out)
    assert 0 < len(seen) == 38 - len(looked_at)


def test_skip_prep_takes_what_is_there(corpus, out, looked_at):
    with pytest.raises(FileNotFoundError, match="has no train_clean.json, train_noi"):
        prepare(corpus, out, skip_prep=True)
    before = prepare(corpus, out)
    looked_at.clear()
    (corpus / "noise_fullband/freesound_3.wav").unlink()
    assert prepare(corpus, out, skip_prep=True) == before
    assert not looked_at


# Validation


def speakers(manifest):
    return {entry["speaker"] for entry in manifest.values() if "speaker" in entry}


def test_no_speaker_is_in_both_splits(corpus, out):
    for share in (0.1, 0.3, 0.7):
        manifests = prepare(corpus, out, valid_share=share)
        train, valid = (speakers(manifests[s, "clean"]) for s in ("train", "valid"))
        assert train and valid and not train & valid


def test_the_share_is_about_what_was_asked_for(tmp_path, out):
    for i in range(150):
        write(tmp_path / f"clean/reader_{i:05d}_0.wav", noise(50))
        write(tmp_path / f"noise/{i}.wav", noise(50))
    options = {"clean_folder": "clean", "noise_folder": "noise", "rir_folder": None}
    manifests = prepare(tmp_path, out, valid_share=0.2, **options)
    for kind in ("clean", "noise"):
        # Three standard deviations of a binomial distribution.
        assert len(manifests["valid", kind]) == pytest.approx(30, abs=15)


def test_more_files_leave_the_others_where_they_are(corpus, out):
    before = prepare(corpus, out, valid_share=0.3)
    for reader in range(10, 30):
        name = f"book_007_chp_0009_reader_{reader:05d}_0_seg_1.wav"
        write(corpus / "clean_fullband/read_speech" / name)
    after = prepare(corpus, out, valid_share=0.3)
    for split in ("train", "valid"):
        assert before[split, "clean"].keys() < after[split, "clean"].keys()
        assert before[split, "noise"] == after[split, "noise"]


def test_one_speaker_is_divided_by_files(tmp_path, out):
    for i in range(5):
        write(tmp_path / f"clean/vctk/p234/p234_{i:03d}.wav")
        write(tmp_path / f"noise/{i}.wav")
    options = {"clean_folder": "clean", "noise_folder": "noise", "rir_folder": None}
    assert len(files_of(prepare(tmp_path, out, **options), "clean")) == 5
    for i in range(1, 5):
        (tmp_path / f"noise/{i}.wav").unlink()
    with pytest.raises(ValueError, match="train_noise.json: one file cannot be divid"):
        prepare(tmp_path, out, **options)


def test_folders_for_validation(corpus, out):
    for kind in KINDS:
        for i in range(2):
            write(corpus / f"dev/{kind}/{i}.wav")
    folders = {kind: f"dev/{kind}" for kind in KINDS}
    manifests = prepare(corpus, out, valid_folders=folders)
    for kind in KINDS:
        assert manifests["valid", kind].keys() == names_in(
            corpus / "dev" / kind, corpus
        )
    assert len(manifests["train", "clean"]) == 28


def test_wrong_folders_for_validation_are_errors(corpus, out):
    with pytest.raises(ValueError, match=r"valid_folders names \['clean'\], but"):
        prepare(corpus, out, valid_folders={"clean": "dev"})
    same = {
        "clean": "clean_fullband/german_speech",
        "noise": "noise_fullband",
        "rir": "impulse_responses",
    }
    with pytest.raises(ValueError, match=r"1 file\(s\) are in both the training and"):
        prepare(corpus, out, valid_folders=same)


def test_a_share_that_is_none_is_an_error(corpus, out):
    with pytest.raises(ValueError, match="valid_share is 1.5: it has to be between"):
        prepare(corpus, out, valid_share=1.5)
