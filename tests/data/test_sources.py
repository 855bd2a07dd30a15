"""A piece of a file is that stretch of the file, at whatever rate it is wanted."""

import errno
import json
import os

import numpy as np
import pytest
import soundfile
import soxr
from dns_tree import noise, write

from speechbrain_mal.data.plan import Piece
from speechbrain_mal.data.sources import Sources, UnreadableFileError, read_piece

RATES = [(48000, 16000), (44100, 16000), (48000, 44100), (22050, 16000)]


@pytest.fixture
def source(tmp_path):
    """Return what writes a signal to a file, and returns the Sources that have it."""

    def make(signal, rate, new_rate, kind="clean"):
        write(tmp_path / "speech/a.wav", signal, rate, subtype="FLOAT")
        entry = {"speech/a.wav": {"samples": len(signal), "sample_rate": rate}}
        (tmp_path / f"{kind}.json").write_text(json.dumps(entry))
        return Sources({kind: tmp_path / f"{kind}.json"}, tmp_path, new_rate)

    return make


@pytest.mark.parametrize("channels", [1, 2])
def test_at_the_files_own_rate_a_piece_is_exact(source, channels):
    signal = noise(5000 * channels).astype(np.float32).reshape(5000, channels)
    sources = source(signal, 16000, 16000)
    assert sources.samples("clean").tolist() == [5000]
    assert len(sources.samples("rir")) == 0
    for start, samples in ((0, 5000), (0, 1), (1234, 2000), (4999, 1)):
        piece = sources.read("clean", Piece(0, start, samples))
        assert piece.dtype == np.float32
        np.testing.assert_array_equal(piece, signal[start : start + samples, 0])


@pytest.mark.parametrize(("rate", "new_rate"), RATES)
def test_a_resampled_piece_is_a_piece_of_the_resampled_file(source, rate, new_rate):
    signal = noise(rate + 777)
    whole = soxr.resample(signal.astype(np.float32), rate, new_rate)
    sources = source(signal, rate, new_rate)
    length = int(sources.samples("clean")[0])
    rng = np.random.default_rng(1)
    pieces = [(0, length), (0, 100), (length - 100, 100), (length - 1, 1)]
    pieces += [(int(s), 3000) for s in rng.integers(0, length - 3000, 10)]
    for start, samples in pieces:
        piece = sources.read("clean", Piece(0, start, samples))
        error = piece - whole[start : start + samples]
        # What the filter's response beyond the 20 ms that are read on either side
        # would add: 80 dB below the noise's standard deviation.
        assert np.abs(error).max() < 0.1 * 1e-4
    response = source(signal, rate, new_rate, "rir").read("rir", Piece(0, 0, 0))
    np.testing.assert_allclose(response, whole[:length], atol=1e-6)  # float32


@pytest.mark.parametrize(("rate", "new_rate"), RATES)
def test_a_short_file_can_be_read_as_a_whole(source, rate, new_rate):
    for samples in [1, 2, 3, 10, 441, 1000, 1323, 1324]:
        sources = source(noise(samples), rate, new_rate)
        length = int(sources.samples("clean")[0])
        assert length == samples * new_rate // rate
        if length:
            assert len(sources.read("clean", Piece(0, 0, length))) == length


# Files that are not what they were


def with_nan(path):
    signal = noise(48000)
    signal[9000] = np.nan
    soundfile.write(path, signal, 48000, subtype="FLOAT")


CHANGES = {
    "gone": (lambda path: path.unlink(), "No such file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
    "shorter": (lambda path: write(path, noise(4000), 48000), "shorter|seek"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:9000]), "shorter|seek"),
    "text": (lambda path: path.write_text("not audio"), "[Ff]ormat not recogni[sz]ed"),
    "NaN": (with_nan, "NaN or infinite"),
    "rate": (lambda p: write(p, noise(48000), 44100), "44100 Hz and had 48000 Hz"),
}


@pytest.mark.parametrize("new_rate", [48000, 16000])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_named_with_the_reason(source, tmp_path, change, new_rate):
    sources = source(noise(48000), 48000, new_rate)
    make, reason = CHANGES[change]
    make(tmp_path / "speech/a.wav")
    for start in (new_rate // 16, new_rate // 8):  # within what is left, and behind it
        with pytest.raises(UnreadableFileError, match=reason) as raised:
            sources.read("clean", Piece(0, start, new_rate // 4))
        assert raised.value.file == "speech/a.wav"
        assert str(raised.value).startswith("speech/a.wav: ")


def test_too_many_open_files_are_no_fault_of_the_file():
    def opener():
        raise OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(OSError, match="Too many") as raised:
        read_piece(opener, "a.wav", (0, 1), 16000, 16000)
    assert not isinstance(raised.value, UnreadableFileError)
