"""Outputs keep what their format can, and are refused before anything is written."""

import numpy as np
import pytest
import soundfile

from speechbrain_mal.audio import AudioError, AudioFile, output_format, write_audio


@pytest.fixture
def source(tmp_path):
    def make(name="a.wav", rate=48000, channels=2, **options):
        noise = 0.1 * np.random.default_rng(0).standard_normal((4 * rate, channels))
        soundfile.write(tmp_path / name, noise, rate, **options)
        return AudioFile(tmp_path / name)

    return make


def copied(audio, path, rate=None, subtype=None):
    rate, channels = rate or audio.sample_rate, audio.channels
    layout = output_format(path, rate, channels, subtype, source=audio)
    with write_audio(path, layout) as output:
        for block in audio.blocks():
            output.write(block)
    return AudioFile(path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_tags_stay(tmp_path, name):
    with soundfile.SoundFile(tmp_path / name, "w", 16000, 1) as tagged:
        tagged.title, tagged.artist = "Rain", "Nobody"
        tagged.write(np.zeros(16000))
    tags = copied(AudioFile(tmp_path / name), tmp_path / f"o{name}").tags
    assert (tags["title"], tags["artist"]) == ("Rain", "Nobody")


@pytest.mark.parametrize("level", [0.2, 0.6])
@pytest.mark.parametrize(
    ("name", "rate", "subtype"),
    [
        ("a.mp3", 44100, "MPEG_LAYER_III"),
        ("a.mp3", 16000, "MPEG_LAYER_III"),
        ("a.opus", 48000, "OPUS"),
    ],
)
def test_the_bit_rate_stays(tmp_path, source, level, name, rate, subtype):
    kind = "OGG" if subtype == "OPUS" else None
    kept = {"compression_level": level, "subtype": subtype, "format": kind}
    audio = source(name, rate, **kept)
    copied(audio, tmp_path / f"o{name}")
    sizes = [(tmp_path / n).stat().st_size for n in (name, f"o{name}")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("o.mp3", {}, "can't hold 6 channel"),
        ("o.ogg", {"rate": 384000}, "can't hold 6 channel"),
        ("o.m4a", {}, "no audio format that can be written has the suffix '.m4a'"),
        ("o", {}, "has the suffix ''"),
        ("o.raw", {}, "has the suffix '.raw'"),
        ("o.flac", {"subtype": "FLOAT"}, "FLAC has no subtype 'FLOAT', but PCM_S8"),
    ],
)
def test_what_a_format_cannot_hold_is_said_first(
    tmp_path, source, name, options, message
):
    with pytest.raises(AudioError, match=message):
        copied(source(channels=6), tmp_path / name, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_an_mp3_of_96_khz_is_said_first(tmp_path, source):
    with pytest.raises(AudioError, match="96000 Hz: take .wav or .flac"):
        copied(source(rate=96000), tmp_path / "o.mp3")
