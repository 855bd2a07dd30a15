"""A live session does what the whole file gets, and ends without loss."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_mal import MALEnhancement, cli
from speechbrain_mal.inference import run_live


@pytest.fixture
def noisy(tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal(16123)
    soundfile.write(tmp_path / "mic.wav", samples, 16000, subtype="FLOAT")
    return samples.astype(np.float32)


@pytest.fixture
def sound_card(monkeypatch, noisy):
    """A sound card that hears `noisy`, lost a block of it, and keeps what it plays."""
    card = SimpleNamespace(heard=0, played=[], PortAudioError=RuntimeError)

    class Device:
        def __init__(self, rate, size, name, channels, dtype):
            if name == "broken":
                raise ValueError("No input device matching 'broken'")
            assert (rate, channels, dtype) == (16000, 1, "float32")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, size):
            block = noisy[card.heard : card.heard + size, None]
            card.heard += size
            return block, card.heard == 3 * size

        def write(self, samples):
            card.played.append(samples[:, 0])
            return False

    card.InputStream = card.OutputStream = Device
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    return card


def test_files_in_the_place_of_devices(exported, noisy, tmp_path, capsys):
    mic, speaker = str(tmp_path / "mic.wav"), str(tmp_path / "out.wav")
    command = ["live", "--input", mic, "--output", speaker, "--model", str(exported)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "Latency: 60 ms of the model and 20 of a block" in printed
    assert "1.0 s enhanced" in printed and "0 dropout(s)" in printed
    enhancer = MALEnhancement.from_hparams(exported)
    whole = enhancer.enhance_batch(torch.from_numpy(noisy)[None])[0].numpy()
    heard, _ = soundfile.read(speaker)
    assert len(heard) == len(noisy)
    np.testing.assert_allclose(heard, whole, atol=4e-5)  # 16 bits: steps of 3e-5


def test_a_sound_card(exported, noisy, sound_card):
    enhancer = MALEnhancement.from_hparams(exported)
    *_, report = run_live(enhancer.stream(), "USB Audio 2.0")  # no file
    whole = enhancer.enhance_batch(torch.from_numpy(noisy)[None])[0].numpy()
    np.testing.assert_allclose(np.concatenate(sound_card.played), whole, atol=1e-6)
    assert report.dropouts == 1 and 0 < report.load


def test_who_stops_keeps_what_was_said(exported, noisy, tmp_path):
    enhancer = MALEnhancement.from_hparams(exported)
    files = str(tmp_path / "mic.wav"), str(tmp_path / "out.wav")
    session = run_live(enhancer.stream(), *files)
    for _ in itertools.islice(session, 10):
        pass
    session.close()
    assert soundfile.info(files[1]).frames == 3200


def test_what_is_wrong_is_named(exported, noisy, sound_card, tmp_path, monkeypatch):
    enhancer = MALEnhancement.from_hparams(exported)
    with pytest.raises(ValueError, match="device broken can't be used .*--list-dev"):
        next(run_live(enhancer.stream(), "broken"))
    soundfile.write(tmp_path / "stereo.wav", np.zeros((100, 2)), 16000)
    with pytest.raises(ValueError, match=r"stereo\.wav: .* it is mono, of 16000 Hz"):
        next(run_live(enhancer.stream(), str(tmp_path / "stereo.wav")))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ImportError, match=r'pip install "speechbrain-mal\[live\]"'):
        next(run_live(enhancer.stream()))
