"""A trained enhancer's encoder is a loss for any network."""

import pytest
import torch
from torchaudio.functional import resample

from speechbrain_mal import DeepFeatureLoss, EnhancerEncoder, MALEnhancement
from speechbrain_mal.inference import shipped_model

TINY = shipped_model("dfn2-mal-16k-tiny")


def test_its_features_are_those_of_the_enhancer(speech):
    model = MALEnhancement.from_hparams(TINY).mods.enhancer
    found, own = (x.eval()(speech) for x in (EnhancerEncoder(TINY), model.encoder))
    for ours, theirs in zip(found.stages, own.stages, strict=True):
        assert torch.equal(ours, theirs)


def test_gradients_reach_the_speech_and_no_weight(speech):
    loss = DeepFeatureLoss(EnhancerEncoder(TINY))
    enhanced = (speech + 0.01 * torch.randn_like(speech)).requires_grad_()
    loss(enhanced, speech).backward()
    assert enhanced.grad.abs().sum() > 0
    assert not any(x.requires_grad for x in loss.parameters())
    assert set(loss.state_dict()) == {"encoder_checksum"}


def test_other_rates_are_resampled(speech):
    """What lies above its band is not compared."""
    loss = DeepFeatureLoss(EnhancerEncoder(TINY, 48000))
    clean = resample(speech[:, :16000], 16000, 48000)
    clean += 0.003 * torch.randn_like(clean)  # no digital silence
    t = torch.arange(clean.shape[1]) / 48000
    low, high = (clean + 0.01 * torch.sin(6.2832 * f * t) for f in (3000, 15000))
    assert loss(high, clean) < 0.1 * loss(low, clean)


def test_padding_does_not_count(speech):
    loss = DeepFeatureLoss(EnhancerEncoder(TINY, 48000))
    clean = speech[:2, :24000]
    enhanced = clean + 0.01 * torch.randn_like(clean)
    whole = loss(enhanced, clean)
    padded = (torch.nn.functional.pad(x, (0, 9000)) for x in (enhanced, clean))
    part = loss(*padded, torch.full((2,), 24000 / 33000))
    assert part.item() == pytest.approx(whole.item(), rel=1e-3)
