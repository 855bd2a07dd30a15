"""The trained baseline in the VoiceBank recipe is what its page says."""

import pytest
import soundfile
import torch
from conftest import ROOT, SAMPLES
from recipe_run import TOY, make_brain

from speechbrain_mal.metrics import Clip, evaluate
from speechbrain_mal.models import DeepFilterNet2

FOLDER = ROOT / "recipes" / "VoiceBank" / "minibank_baseline"


@pytest.fixture(scope="module")
def weights():
    path = FOLDER / "CKPT+epoch25" / "enhancer.ckpt"
    return torch.load(path, weights_only=True)


def test_it_enhances_speech_and_noise_it_never_heard(weights):
    model = DeepFilterNet2(16000, channels=16, embedding_size=64, df_hidden_size=64)
    model.load_state_dict(weights)
    model.eval()
    clips = []
    for path in sorted((SAMPLES / "noisy_testset_wav_16k").iterdir()):
        noisy, _ = soundfile.read(path, dtype="float32")
        clean_path = SAMPLES / "clean_testset_wav_16k" / path.name
        clean, _ = soundfile.read(clean_path, dtype="float32")
        with torch.no_grad():
            enhanced = model(torch.from_numpy(noisy)[None])[0].numpy()
        clips.append([Clip(path.stem, x, clean, 16000) for x in (noisy, enhanced)])
    noisy, enhanced = (
        evaluate(system, ["si_sdr"]).means()["si_sdr"]
        for system in zip(*clips, strict=True)
    )
    gain = enhanced - noisy
    assert gain > 1  # dB; synthetic voices


def test_phase_two_starts_from_it(tmp_path, weights, monkeypatch):
    toy = {**TOY, "channels": 16, "hidden_size": 64, "ckpt_metric": "df"}
    monkeypatch.setattr("recipe_run.TOY", toy)
    brain = make_brain(tmp_path, "mal_dynamic", baseline_folder=str(FOLDER))
    brain.init_optimizers()
    brain._start_phase_two()
    started = brain.enhancer.state_dict()
    assert all(torch.equal(value, started[name]) for name, value in weights.items())
