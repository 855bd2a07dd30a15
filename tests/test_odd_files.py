"""People's folders: every odd file comes out right or is named, twice in a row.

What preparations say of them: tests/data/test_prepare.py.
"""

import re

import numpy as np
import pytest
from odd_files import SECONDS, make_folder, signal
from scipy.signal import correlate

from speechbrain_mal import MALEnhancement
from speechbrain_mal.audio import read_audio
from speechbrain_mal.audio.writer import format_of
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
