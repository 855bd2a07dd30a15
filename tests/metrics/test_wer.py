import shutil

import numpy as np
import pytest
from tiny_asr import ATTENTION, RATE, WHISPER, WORDS, save_asr, say

from speechbrain_mal.metrics import METRICS
from speechbrain_mal.metrics import wer as module
from speechbrain_mal.metrics.wer import wer


@pytest.fixture
def source(recogniser):
    return recogniser


@pytest.mark.parametrize(
    "heard, said, errors",
    [
        ("OLD KEYS DON'T OPEN THE SHEDS", "OLD KEYS DON'T OPEN THE SHEDS", 0),
        ("OLD KEYS RAIN", "OLD KEYS TODAY", 1),  # a substitution
        ("OLD KEYS", "OLD KEYS RAIN TODAY", 2),  # deletions
        ("OLD KEYS OPEN TODAY RAIN", "OLD", 4),  # insertions: more than 100 %
        ("DON'T OPEN", "\u201cDon\u2019t\u2014\u2018open\u2019!\u201d", 0),
        ("OLD KEYS", "old-keys", 0),
    ],
)
def test_errors_are_counted_in_words(source, heard, said, errors):
    scores = wer(say(heard), None, RATE, source=source, transcript=said)
    words = len(said.replace("-", " ").replace("\u2014", " ").split())
    assert scores == {"wer": pytest.approx(100 * errors / words), "wer_words": words}


def test_the_clean_clip_is_the_reference_without_a_transcript(source, monkeypatch):
    clean, enhanced = say("OPEN THE SHEDS"), say("OPEN OLD SHEDS")
    scores = wer(enhanced, clean, RATE, source=source)
    assert scores == {"wer": pytest.approx(100 / 3), "wer_words": 3}
    assert wer(clean, clean, RATE, source=source)["wer"] == 0
    monkeypatch.setattr(module, "_transcribe", lambda *clip: "SHEDS")  # one call each
    assert wer(enhanced, clean, RATE, source=source)["wer_words"] == 3
    monkeypatch.undo()
    # words that were not said count, if they are given
    scores = wer(enhanced, clean, RATE, source=source, transcript="RAIN")
    assert scores["wer_words"] == 1


def test_noise_makes_errors(source):
    clean = say(" ".join(WORDS))
    noise = np.random.default_rng(0).normal(0, 1, len(clean)).astype("float32")
    assert wer(clean + noise, clean, RATE, source=source)["wer"] > 50


def test_a_recogniser_with_a_decoder(tmp_path):
    source = save_asr(tmp_path / "attention", ATTENTION)
    clip = say("RAIN TODAY")
    heard = module._transcribe(clip, RATE, source, None)
    scores = wer(clip, None, RATE, source=source, transcript=heard + " TODAY")
    assert scores["wer"] == pytest.approx(100 / scores["wer_words"])


@pytest.mark.parametrize("words", [True, False])
def test_whisper(tmp_path, words):
    (tmp_path / "hyperparams.yaml").write_text(WHISPER.format(words=words))
    clip = np.ones(len(WORDS) * 1000 + 3, "float32")
    said = f"{WORDS[3]} {WORDS[0]} {WORDS[0]} {WORDS[0]}"
    scores = wer(clip, None, RATE, source=str(tmp_path), transcript=said)
    assert scores == {"wer": 50, "wer_words": 4}


def test_the_folder_is_read_once_and_left_as_it_is(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "asr")
    before = {p: p.stat().st_mtime_ns for p in copy.iterdir()}
    clip = say("RAIN")
    assert wer(clip, None, RATE, source=str(copy), transcript="RAIN")["wer"] == 0
    assert {p: p.stat().st_mtime_ns for p in copy.iterdir()} == before
    shutil.rmtree(copy)
    assert wer(clip, None, RATE, source=copy, transcript="RAIN")["wer"] == 0


def test_savedir_takes_the_files(source, tmp_path):
    savedir = tmp_path / "saved"
    clip = say("RAIN")
    scores = wer(clip, None, RATE, source=source, savedir=savedir, transcript="RAIN")
    assert scores["wer"] == 0
    assert {path.name for path in savedir.iterdir()} >= {"linear.ckpt"}


def test_a_recogniser_that_repeats_itself_is_no_reference(source, monkeypatch):
    monkeypatch.setattr(module, "_transcribe", lambda clip, *where: "RAIN " * 50)
    clip = say("RAIN SHEDS RAIN")
    with pytest.raises(ValueError, match="hears too many words"):
        wer(clip, clip, RATE, source=source)
    assert wer(clip, clip, RATE, source=source, transcript="RAIN")["wer"] == 4900


def test_what_it_cannot_score(source):
    clip = say("RAIN")
    for clean, transcript in ((0 * clip, None), (clip, " -- ")):
        with pytest.raises(ValueError, match="the reference has no words"):
            wer(clip, clean, RATE, source=source, transcript=transcript)
    with pytest.raises(ValueError, match="there is neither a transcript nor"):
        wer(clip, None, RATE, source=source)
    with pytest.raises(ValueError, match="the clean clip has 0.010 s"):
        METRICS["wer"].score(clip, clip[:160], RATE, source=source)
