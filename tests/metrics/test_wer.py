import concurrent.futures
import multiprocessing
import shutil

import numpy as np
import pytest
from scipy.signal import resample_poly
from tiny_asr import ATTENTION, CTC, RATE, WORDS, save_asr, say

from speechbrain_mal.metrics import wer as module
from speechbrain_mal.metrics.wer import wer


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save_asr(tmp_path_factory.mktemp("asr") / "ctc", CTC)


def test_a_recogniser_loaded_from_a_folder_hears_the_words(source):
    text = "OLD KEYS DON'T OPEN THE SHEDS TODAY"
    scores = wer(say(text), None, RATE, source=source, transcript=text)
    assert scores == {"wer": 0, "wer_words": 7}


@pytest.mark.parametrize(
    "heard, said, errors",
    [
        ("OLD KEYS RAIN", "OLD KEYS TODAY", 1),  # a substitution
        ("OLD KEYS", "OLD KEYS RAIN TODAY", 2),  # deletions
        ("OLD KEYS OPEN TODAY RAIN", "OLD", 4),  # insertions: more than 100 %
    ],
)
def test_errors_are_counted_in_words(source, heard, said, errors):
    scores = wer(say(heard), None, RATE, source=source, transcript=said)
    words = len(said.split())
    assert scores == {"wer": pytest.approx(100 * errors / words), "wer_words": words}


def test_the_clean_clip_is_the_reference_without_a_transcript(source):
    clean, enhanced = say("OPEN THE SHEDS"), say("OPEN OLD SHEDS")
    scores = wer(enhanced, clean, RATE, source=source)
    assert scores == {"wer": pytest.approx(100 / 3), "wer_words": 3}
    assert wer(clean, clean, RATE, source=source)["wer"] == 0
    # words that were not said count, if they are given
    scores = wer(enhanced, clean, RATE, source=source, transcript="RAIN")
    assert scores["wer_words"] == 1


def test_case_and_punctuation_do_not_count(source):
    text = "\u201cOld keys\u2014don\u2019t open 'the' sheds, today!\u201d"
    clip = say("OLD KEYS DON'T OPEN THE SHEDS TODAY")
    scores = wer(clip, None, RATE, source=source, transcript=text)
    assert scores == {"wer": 0, "wer_words": 7}
    assert module._words("well-known, e\N{COMBINING ACUTE ACCENT}t\u00e9 7") == [
        "WELL",
        "KNOWN",
        "\u00c9T\u00c9",
        "7",
    ]


def test_noise_makes_errors(source, samples):
    clean = say(" ".join(WORDS))
    noise = np.random.default_rng(0).normal(0, 1, len(clean)).astype("float32")
    assert wer(clean + noise, clean, RATE, source=source)["wer"] > 50
    clean, noisy = samples[0]  # in which it hears tones, too
    assert wer(clean, clean, RATE, source=source)["wer"] == 0
    assert wer(noisy, clean, RATE, source=source)["wer"] > 0


def test_clips_are_resampled_to_the_recognisers_rate(source):
    clip = resample_poly(say("RAIN TODAY"), 3, 1)
    scores = wer(clip, None, 48000, source=source, transcript="rain today")
    assert scores["wer"] == 0


def test_a_recogniser_with_a_decoder(tmp_path):
    source = save_asr(tmp_path / "attention", ATTENTION)
    clip = say("RAIN TODAY")
    heard = module._transcribe(clip, RATE, source, None)
    scores = wer(clip, None, RATE, source=source, transcript=heard + " TODAY")
    assert scores["wer"] == pytest.approx(100 / scores["wer_words"])


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


def test_silence_is_words_lost_in_the_enhanced_but_no_reference(source):
    clip = say("RAIN TODAY")
    scores = wer(0 * clip, clip, RATE, source=source)
    assert scores == {"wer": 100, "wer_words": 2}
    with pytest.raises(ValueError, match="WER: the reference has no words"):
        wer(clip, 0 * clip, RATE, source=source)
    with pytest.raises(ValueError, match="WER: the reference has no words"):
        wer(clip, clip, RATE, source=source, transcript=" -- ")


def test_what_it_cannot_score(source):
    clip = say("RAIN")
    with pytest.raises(
        ValueError, match="WER: there is neither a transcript nor a cle"
    ):
        wer(clip, None, RATE, source=source)
    with pytest.raises(
        ValueError, match="WER: 0.010 s of the enhanced clip are too sho"
    ):
        wer(clip[:160], clip, RATE, source=source)
    with pytest.raises(
        ValueError, match="WER: 0.010 s of the clean clip are too short"
    ):
        wer(clip, clip[:160], RATE, source=source)


def test_ten_minutes(source):
    text = " ".join(["RAIN TODAY OLD KEYS"] * 357)
    clip = say(text)
    assert len(clip) > 570 * RATE
    scores = wer(clip, None, RATE, source=source, transcript=text)
    assert scores == {"wer": 0, "wer_words": 4 * 357}


def test_forked_processes_change_nothing(source):
    clean, enhanced = say("RAIN TODAY OLD"), say("RAIN TODAY THE")
    expected = wer(enhanced, clean, RATE, source=source)
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        job = pool.submit(wer, enhanced, clean, RATE, source=source)
        assert job.result(timeout=120) == expected
