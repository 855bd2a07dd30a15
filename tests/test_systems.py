"""Every system's first step of phase two, as a GPU would take it."""

import pytest
import torch
from devices import cudnn_rule, meta_device
from recipe_run import ROOT, make_brain
from speechbrain.dataio.batch import PaddedBatch
from tiny_networks import save_tiny

from speechbrain_mal import DeepFilterNet2
from speechbrain_mal.losses import (
    DeepFeatureLoss,
    DeepFilterNetLoss,
    ModelAsLoss,
    PESQLoss,
    STOILoss,
)
from speechbrain_mal.models import InputFeatures

HPARAMS = sorted((ROOT / "recipes" / "VoiceBank" / "hparams").glob("*.yaml"))
# All but those that add nothing.
SYSTEMS = sorted({path.stem for path in HPARAMS} - {"baseline", "continue"})
SHORT = {"cdpam": 1600}  # samples; it is slow


@pytest.fixture(scope="session")
def wavlm(tmp_path_factory):
    """Return the folder of a tiny WavLM with random weights."""
    folder = tmp_path_factory.mktemp("wavlm")
    save_tiny("WavLM", folder)
    return str(folder)


def first_step_of_phase_two(folder, system, wavlm, speech, device="cpu"):
    """Return a Brain after one batch, the first one with the added terms."""
    overrides = {"baseline_folder": str(folder), "enhanced_folder": None}
    if system.startswith("wavlm"):
        overrides["wavlm_source"] = wavlm
    brain = make_brain(folder, system, run_opts={"device": device}, **overrides)
    brain.on_fit_start()
    brain.hparams.epoch_counter.current = 1
    brain.loss.start_phase_two()
    brain.modules.train()
    brain.step = 1
    clean = speech[:2, 8000 : 8000 + SHORT.get(system, 8000)]
    noisy = clean + 0.01 * torch.randn_like(clean)
    batch = PaddedBatch(
        [
            {"id": str(i), "noisy": noisy[i], "clean": clean[i]}
            for i in range(len(clean))
        ]
    )
    loss = brain.fit_batch(batch)
    return brain, loss


@pytest.mark.parametrize("system", SYSTEMS)
def test_first_step_of_phase_two(tmp_path, system, wavlm, speech):
    with cudnn_rule():
        brain, loss = first_step_of_phase_two(tmp_path, system, wavlm, speech)
    assert loss.isfinite()
    assert brain.optimizer_step == 1
    terms = brain.state.pop_means()
    added = set(brain.loss.added)
    assert added <= set(terms)
    # Each as large as L_df in this batch.
    main = terms["df"]
    for name in added:
        scaled = float(brain.loss.added[name].scale) * terms[name]
        assert scaled == pytest.approx(main, rel=1e-4)


def test_models_and_losses_stay_on_their_device():
    """No tensor of another device, and no look at a value: forward and backward."""
    model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    mal = ModelAsLoss(model.encoder, "epoch")
    front_end = model.encoder.front_end
    losses = [
        mal,
        DeepFeatureLoss(InputFeatures(front_end), layers=[0, 1], normalize=True),
        ModelAsLoss(model.encoder, layers=range(7), distance="mse", normalize=True),
        DeepFilterNetLoss(front_end),
    ]
    # Ten frames: a recurrent layer takes each one in many operations there.
    samples = {
        PESQLoss(16000): 8000,
        STOILoss(16000): 8000,
        **dict.fromkeys(losses, 1600),
    }
    with meta_device() as device:
        model.to(device)
        lengths = torch.ones(2, device=device)
        enhanced, outputs = model(torch.randn(2, 1600, device=device), lengths, True)
        (enhanced.sum() + outputs["local_snr"].sum()).backward()
        for loss, number in samples.items():
            loss.to(device)
            clean = torch.randn(2, number, device=device)
            further = {"noisy": clean, **outputs}
            inputs = {
                name: further[name].detach() for name in getattr(loss, "inputs", ())
            }
            for padded in (None, lengths) if number == 1600 else (None,):
                enhanced = torch.randn(2, number, device=device, requires_grad=True)
                value = loss(enhanced, clean, padded, **inputs)
                assert value.device == device
                value.backward()
        mal.at(epoch=1), mal.at(epoch=2)
