"""Every system takes a step of each phase, as a GPU would take it."""

import pytest
import speechbrain as sb
import torch
from devices import cudnn_rule, meta_device
from recipe_run import BOTH_PHASES, SYSTEMS, make_brain
from speechbrain.dataio.batch import PaddedBatch

from speechbrain_mal import DeepFilterNet2
from speechbrain_mal.losses import (
    DeepFeatureLoss,
    DeepFilterNetLoss,
    ModelAsLoss,
    PESQLoss,
    STOILoss,
)
from speechbrain_mal.models import InputFeatures

FILES = ("filterbank", "wavlm", "cdpam", "distillmos", "enhancer")
TERMS = {name: {"mal"} for name in SYSTEMS if name.startswith(("mal", "mse"))}
TERMS |= {"baseline": set(), "continue": set(), "mal_random": {"random"}}
TERMS |= {name: {name} for name in FILES}
TERMS |= {"wavlm_fe": {"wavlm"}, "wavlm_mal": {"mal", "wavlm"}}
SHORT = {"cdpam": 1600}  # samples; it is slow


def step_of_each_phase(folder, system, wavlm, speech, device="cpu"):
    """Return a Brain after one batch of each phase, and the losses."""
    options = {**BOTH_PHASES, "enhanced_folder": None}
    if system.startswith("wavlm"):
        options["network_source"] = wavlm
    brain = make_brain(folder, system, run_opts={"device": device}, **options)
    brain.on_fit_start()
    clean = speech[:2, 8000 : 8000 + SHORT.get(system, 8000)]
    noisy = clean + 0.01 * torch.randn_like(clean)
    clips = [
        {"id": str(i), "noisy": noisy[i], "clean": clean[i]} for i in range(len(clean))
    ]
    losses = []
    for epoch in (1, 2):
        brain.hparams.epoch_counter.current = epoch
        brain.step = 0
        brain.on_stage_start(sb.Stage.TRAIN, epoch)
        brain.modules.train()
        brain.step, brain.terms = 1, brain.state.pop_means()
        losses.append(brain.fit_batch(PaddedBatch(clips)))
    return brain, losses


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_of_each_phase(tmp_path, system, wavlm, speech):
    with cudnn_rule():
        brain, losses = step_of_each_phase(tmp_path, system, wavlm, speech)
    assert all(loss.isfinite() for loss in losses)
    assert brain.optimizer_step == 2
    assert set(brain.terms) == {"loss", "df"}  # of phase one
    terms = brain.state.pop_means()
    added = set(brain.loss.added)
    assert added == (TERMS[system] or added) and added <= set(terms)
    for name in added:  # scaled to a gradient as large as L_df's
        assert 0 < float(brain.loss.added[name].scale * terms[name]) < 10 * terms["df"]
    encoder = brain.enhancer.encoder.parameters()
    frozen = system in ("mal_frozen_fe", "wavlm_fe", "wavlm_mal")
    assert all(weight.requires_grad != frozen for weight in encoder)


def test_models_and_losses_stay_on_their_device(monkeypatch):
    """No tensor of another device, and no look at a value: forward and backward."""
    # There each frame of a recurrent layer, and each sample of PESQ's filter, is many
    # operations: ten frames, and no filter, which is torchaudio's.
    monkeypatch.setattr("torch_pesq.loss.lfilter", lambda signal, *args, **kw: signal)
    model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    mal = ModelAsLoss(model.encoder, "epoch")
    front_end = model.encoder.front_end
    losses = [
        mal,
        DeepFeatureLoss(InputFeatures(front_end), layers=[0, 1], normalize=True),
        ModelAsLoss(model.encoder, layers=range(7), distance="mse", normalize=True),
        DeepFilterNetLoss(front_end),
    ]
    samples = dict.fromkeys(losses, 1600)
    samples |= {PESQLoss(16000): 8000, STOILoss(16000): 8000}
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
