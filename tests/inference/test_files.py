"""Files: the whole result in any format, aligned, and nothing half-written."""

import functools
import resource

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_mal.audio import AudioError
from speechbrain_mal.inference import (
    Stream,
    StreamingDeepFilterNet2,
    enhance_file,
    fold,
)

RATE = 16000


@pytest.fixture
def new_stream(small_model):
    model = fold(small_model.eval().requires_grad_(False))
    return functools.partial(Stream, StreamingDeepFilterNet2(model))


def noise(samples, channels=1, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((samples, channels))


def write(path, samples, rate=RATE, subtype="FLOAT"):
    kind = "OGG" if path.suffix == ".opus" else None  # as libsndfile names it
    soundfile.write(path, samples, rate, subtype=subtype, format=kind)
    return path


def test_file_is_enhanced_as_a_whole(small_model, new_stream, tmp_path):
    samples = noise(5 * RATE + 37).astype(np.float32)  # three blocks
    source = write(tmp_path / "noisy.wav", samples)
    enhance_file(new_stream, source, tmp_path / "out.wav")
    expected = small_model(torch.from_numpy(samples).T).numpy().T
    actual, _ = soundfile.read(tmp_path / "out.wav", always_2d=True)
    # Single precision in another order of summation, relative to the largest sample.
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


def test_stereo_is_two_monos(new_stream, tmp_path):
    samples = noise(9000, channels=2)
    enhance_file(new_stream, write(tmp_path / "a.wav", samples), tmp_path / "o.wav")
    together, _ = soundfile.read(tmp_path / "o.wav")
    for i in range(2):
        source = write(tmp_path / "mono.wav", samples[:, i])
        enhance_file(new_stream, source, tmp_path / "m.wav")
        alone, _ = soundfile.read(tmp_path / "m.wav")
        np.testing.assert_allclose(together[:, i], alone, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("samples", [1, 500, 50001])
def test_any_rate_keeps_length_and_rate(new_stream, tmp_path, rate, samples):
    source = write(tmp_path / "a.wav", noise(samples), rate)
    enhance_file(new_stream, source, tmp_path / "o.wav")
    info = soundfile.info(tmp_path / "o.wav")
    assert (info.frames, info.samplerate) == (samples, rate)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_resampling_in_and_back_is_aligned(tmp_path, rate):
    # A model that passes its input: what is left is the resampling, there and back.
    class PassThrough:
        sample_rate = RATE

        def __init__(self, *_):
            pass

        def push(self, samples):
            return samples

        def flush(self):
            return torch.zeros(1, 0)

    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(3 * rate) / rate)
    source = write(tmp_path / "a.wav", tone, rate)
    enhance_file(PassThrough, source, tmp_path / "o.wav")
    inner = slice(rate // 10, -rate // 10)  # a tone's ends are steps: not band-limited
    actual, _ = soundfile.read(tmp_path / "o.wav")
    # One sample of shift would make 0.06.
    np.testing.assert_allclose(actual[inner], tone[inner], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "FLOAT"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.ogg", "OPUS"),
        ("a.opus", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
def test_subtype_and_length_stay(new_stream, tmp_path, name, subtype):
    source = write(tmp_path / name, noise(9001), subtype=subtype)
    enhance_file(new_stream, source, tmp_path / f"o{name}")
    info = soundfile.info(tmp_path / f"o{name}")
    assert (info.subtype, info.frames) == (subtype, 9001)


def test_rate_and_subtype_as_asked(new_stream, tmp_path):
    source = write(tmp_path / "a.wav", noise(9001, 2), 44100)
    asked = {"sample_rate": 22050, "subtype": "PCM_24", "atten_lim_db": 12}
    enhance_file(new_stream, source, tmp_path / "o.flac", **asked)
    info = soundfile.info(tmp_path / "o.flac")
    assert (info.samplerate, info.frames, info.channels) == (22050, 4501, 2)
    assert info.subtype == "PCM_24"
    with pytest.raises(ValueError, match="FLAC has no subtype 'FLOAT', but PCM_S8"):
        enhance_file(new_stream, source, tmp_path / "o.flac", subtype="FLOAT")
    with pytest.raises(ValueError, match="a sample rate of 0 Hz"):
        enhance_file(new_stream, source, tmp_path / "o.flac", sample_rate=0)


def test_nan_of_an_enhancer_is_never_written(tmp_path):
    class Broken:
        sample_rate = RATE

        def __init__(self, *_):
            pass

        def push(self, samples):
            return samples * torch.nan

        def flush(self):
            return torch.zeros(1, 0)

    source = write(tmp_path / "a.wav", noise(100))
    with pytest.raises(ValueError, match=r"a\.wav: the enhancer makes NaN"):
        enhance_file(Broken, source, tmp_path / "o.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("rate", [44100, 48000])
def test_limit_of_zero_changes_nothing_but_the_rate(new_stream, tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(100001) / 44100)
    source = write(tmp_path / "a.wav", tone, 44100)
    options = {"atten_lim_db": 0, "sample_rate": rate}
    enhance_file(new_stream, source, tmp_path / "o.wav", **options)
    actual, _ = soundfile.read(tmp_path / "o.wav")
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(actual)) / rate)
    inner = slice(4800, -4800)  # the ends are steps: not band-limited
    np.testing.assert_allclose(actual[inner], expected[inner], atol=1e-4)


def test_progress_adds_up_to_the_file(new_stream, tmp_path):
    source, seconds = write(tmp_path / "a.wav", noise(5 * RATE)), []
    enhance_file(new_stream, source, tmp_path / "o.wav", progress=seconds.append)
    assert len(seconds) == 3 and sum(seconds) == pytest.approx(5)


# What is wrong with files: `test_odd_files.py` has more


def test_missing_files_and_folders_are_named(new_stream, tmp_path):
    with pytest.raises(AudioError, match="none.wav: there is no such file"):
        enhance_file(new_stream, tmp_path / "none.wav", tmp_path / "o.wav")
    source = write(tmp_path / "a.wav", noise(100))
    with pytest.raises(OSError, match="o.wav: its folder does not exist"):
        enhance_file(new_stream, source, tmp_path / "none" / "o.wav")
    with pytest.raises(ValueError, match="has the suffix '.xyz'"):
        enhance_file(new_stream, source, tmp_path / "o.xyz")


def test_input_is_never_overwritten(new_stream, tmp_path):
    source = write(tmp_path / "a.wav", noise(100))
    before = source.read_bytes()
    (tmp_path / "link.wav").symlink_to(source)
    for output in (source, tmp_path / "link.wav"):
        with pytest.raises(ValueError, match="the output is the input"):
            enhance_file(new_stream, source, output)
    assert source.read_bytes() == before


def test_full_disk_is_an_error_and_leaves_the_old_output(new_stream, tmp_path):
    source = write(tmp_path / "a.wav", noise(RATE))
    output = tmp_path / "o.wav"
    output.write_text("of yesterday")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, hard))  # bytes a file may have
    try:
        with pytest.raises(OSError, match=r"o\.wav: can't be written"):
            enhance_file(new_stream, source, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert output.read_text() == "of yesterday"
    assert len(list(tmp_path.iterdir())) == 2
