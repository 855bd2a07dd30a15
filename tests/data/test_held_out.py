"""Who speaks, and what is held out, follows from names."""

import pytest

from speechbrain_mal.data.held_out import hold_out, speaker_of


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("clean/read_speech/book_1_chp_2_reader_06709_0.wav", "06709"),
        ("clean/vctk_wav48_silence_trimmed/p225/p225_001_mic1.flac", "p225"),
        ("clean/vctk_wav48_silence_trimmed/s5/s5_001_mic1.flac", "s5"),
        ("clean/emotional_speech/crema_d/1001_DFA_ANG_XX.wav", "1001"),
        ("speech/train/ls26/26-495-0000.flac", "ls26"),
        ("clean/german_speech/a_book.wav", None),
        ("clean/a.wav", None),
    ],
)
def test_speakers_names(name, speaker):
    assert speaker_of(name) == speaker


def entries(speakers, files=3):
    return {
        f"{speaker}_{i}.wav": {"speaker": speaker}
        for speaker in speakers
        for i in range(files)
    }


def held(divided, split="valid"):
    return {entry["speaker"] for entry in divided[f"{split}_clean.json"].values()}


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_about_the_share_of_the_speakers_is_held_out_whole(share):
    speakers = [f"reader {i}" for i in range(1000)]
    divided = hold_out({"train_clean.json": entries(speakers)}, share)
    # A binomial share of 1000 has a standard deviation of 0.016 at most.
    assert len(held(divided)) / 1000 == pytest.approx(share, abs=0.05)
    assert not held(divided) & held(divided, "train")
    assert held(divided) | held(divided, "train") == set(speakers)


def test_more_speakers_do_not_move_those_that_were_there():
    speakers = [f"reader {i}" for i in range(200)]
    few = hold_out({"train_clean.json": entries(speakers[:100])}, 0.2)
    many = hold_out({"train_clean.json": entries(speakers)}, 0.2)
    assert held(few) == held(many) & set(speakers[:100])


def test_both_splits_have_a_file_whatever_the_share():
    for share in (1e-9, 1 - 1e-9):
        divided = hold_out({"train_clean.json": entries("ab")}, share)
        assert held(divided) and held(divided, "train")
    one = hold_out({"train_clean.json": entries("a", files=2)}, 0.01)
    assert all(len(part) == 1 for part in one.values())  # a speaker in both, then
    with pytest.raises(ValueError, match="train_clean.json: one file cannot be"):
        hold_out({"train_clean.json": entries("a", files=1)}, 0.01)
