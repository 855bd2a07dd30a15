"""People's folders: every odd file comes out right or is named, twice in a row."""

import csv
import json
import re

import numpy as np
import pytest
import soundfile
from odd_files import SECONDS, make_folder, signal
from scipy.signal import correlate

from speechbrain_mal import MALEnhancement
from speechbrain_mal.audio import read_audio
from speechbrain_mal.audio.writer import format_of
from speechbrain_mal.data import prepare_dns, prepare_voicebank
from speechbrain_mal.files import printable
from speechbrain_mal.metrics import clips_from_folders, evaluate


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "odd"


@pytest.fixture
def odd(folder):
    return make_folder(folder)


def test_enhance(exported, odd, folder, tmp_path):
    assert len(odd) > 85
    enhancer = MALEnhancement.from_hparams(exported)
    # A limit of 0 dB gives the noisy signal back, so that what it is can be compared.
    options = {"atten_lim_db": 0, "progressbar": False}
    first = enhancer.enhance_folder(folder, tmp_path / "out", **options)
    good = {path for path, file in odd.items() if not file.failure}
    assert set(first.enhanced) == good
    assert first.failures.keys() == odd.keys() - good
    wrong: dict = {}
    for path, file in odd.items():
        said = first.failures.get(path) or first.notes.get(path, "")
        if not re.search(file.failure or file.note or "^$", said):
            wrong[path] = said
        if not file.failure and (difference := compared(path, file, folder, tmp_path)):
            wrong[path] = difference
    assert not wrong, "\n".join(f"{p.name}: {said}" for p, said in wrong.items())
    text = str(first)
    assert text.isprintable() or all(map(str.isprintable, text.split("\n")))
    again = enhancer.enhance_folder(folder, tmp_path / "out", **options)
    assert set(again.skipped) == good and not again.enhanced
    assert again.failures.keys() == first.failures.keys()


def compared(path, file, folder, tmp_path):
    """Return what is wrong with an output."""
    output = tmp_path / "out" / path.relative_to(folder)
    if format_of(path.suffix) is None:
        output = output.with_suffix(".wav")
    samples, rate = read_audio(output)
    whole = round(SECONDS * rate) if file.samples is None else file.samples
    padding = 0.15 * rate if file.padded else 0  # blocks of 2048 at 16 kHz
    if not whole - padding / 2 <= len(samples) <= whole + padding:
        return f"{len(samples)} samples, not {whole}"
    if path.name in ("one_sample.wav", "silent.wav"):
        return ""
    wanted, heard = signal(rate)[:, 0], samples[:, -1] - np.median(samples[:, -1])
    likeness = correlate(heard, wanted) / np.sqrt((heard**2).sum() * (wanted**2).sum())
    # Some codecs delay, and no file of theirs tells by how much.
    places = slice(None) if file.padded else slice(len(wanted) - 2, len(wanted) + 1)
    best = likeness[places].max()
    return "" if best > 0.9 else f"likeness of {best:.2f}"


def test_evaluate(odd, folder, tmp_path):
    clips = clips_from_folders(folder, folder)
    assert {clip.enhanced for clip in clips} == set(odd)
    for _ in range(2):
        table = evaluate(clips, ["lsd"], progress_file=tmp_path / "progress.jsonl")
        reasons = dict(line.split(": ", 1) for line in table.failures)
        for path, file in odd.items():
            name = printable(path.relative_to(folder).with_suffix("").as_posix())
            if file.failure or name in reasons:
                pattern = file.failure or "channels|sample|silen|short"
                assert re.search(pattern, reasons[name]), name
        assert 50 < table.scored("lsd") == len(odd) - len(reasons)


def test_dns_preparation(odd, folder, tmp_path):
    for _ in range(2):
        prepare_dns(
            tmp_path,
            tmp_path / "out",
            8000,
            "odd",
            "odd",
            None,
            valid_share=0.3,
            max_bad_share=1.0,
        )
        with open(tmp_path / "out" / "left_out.csv", newline="") as file:
            left_out = {row["file"]: row["reason"] for row in csv.DictReader(file)}
        used = {}
        for split in ("train", "valid"):
            path = tmp_path / "out" / f"{split}_clean.json"
            used |= json.loads(path.read_text())
        for path, file in odd.items():
            name = path.relative_to(tmp_path).as_posix()
            reason = left_out.get(printable(name), "")
            if file.failure:
                assert re.search(file.failure, reason) or "pieces" in reason, name
            else:
                assert (name in used) != bool(reason), name
                assert not reason or re.search("pieces|silent|clipped", reason), name
        (tmp_path / "out" / "prepare.json").unlink()  # the scan's record is still there


def test_voicebank_preparation(odd, folder, tmp_path):
    """A corpus with broken pairs is refused, and the first of them are named."""
    names = [
        f"{kind}_{split}_wav_16k"
        for kind in ("noisy", "clean")
        for split in ("trainset_28spk", "testset")
    ]
    for name in names:
        (tmp_path / name).symlink_to(folder)
    with pytest.raises(ValueError, match="both the training and the test set"):
        prepare_voicebank(tmp_path, tmp_path / "out")
    for name in names[1::2]:
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "p1_1.wav", signal(), 16000)
    speakers = [path.stem.split("_")[0] for path in odd][:1]
    with pytest.raises(ValueError, match="10 unusable clip"):
        prepare_voicebank(tmp_path, tmp_path / "out", valid_speakers=speakers)
