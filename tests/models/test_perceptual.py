"""CDPAM's and Distill-MOS's own networks, as the packages ship them."""

import sys

import pytest
import torch
from distillmos import ConvTransformerSQAModel
from torchaudio.functional import resample

from speechbrain_mal.losses import DeepFeatureLoss
from speechbrain_mal.models import CDPAMEncoder, DistillMOSEncoder

ENCODERS = [CDPAMEncoder, DistillMOSEncoder]


@pytest.fixture(scope="module", params=ENCODERS, ids=lambda cls: cls.__name__)
def encoder(request):
    return request.param()


@torch.no_grad()
def test_cdpam_is_the_packages():
    import cdpam  # and numba with it, which takes seconds

    encoder = CDPAMEncoder(sample_rate=22050).eval()
    torch.manual_seed(0)
    waveforms = 0.1 * torch.randn(2, 1024)
    load = torch.load
    with pytest.MonkeyPatch.context() as patch:  # its own call fails since torch 2.6
        patch.setattr(torch, "load", lambda *a, **k: load(*a, weights_only=False, **k))
        package = cdpam.CDPAM(dev="cpu")
    acoustic = package.model.base_encoder(32768 * waveforms[:, None])[1]
    expected = torch.nn.functional.normalize(acoustic, dim=1)
    torch.testing.assert_close(encoder(waveforms).stages[-1][:, 0], expected)


@torch.no_grad()
def test_distillmos_is_the_packages(speech):
    package = ConvTransformerSQAModel().eval()
    peak = speech.abs().amax(dim=1, keepdim=True)
    expected = package.cnn(speech / (peak + 1e-8))
    features = DistillMOSEncoder().eval()(speech).stages[-1]
    # The compression's power is computed in one step instead of three.
    torch.testing.assert_close(
        features.flatten(2).transpose(1, 2), expected, rtol=1e-3, atol=1e-4
    )


def test_gradient_reaches_the_enhanced_speech_only(encoder, speech):
    loss = DeepFeatureLoss(encoder)
    clean = speech[:1, 8000:9600].clone()
    clean[:, 800:] = 0.0  # digital silence
    estimate = clean.clone()
    estimate[:, :800] += 0.01 * torch.randn(1, 800)
    estimate.requires_grad_()
    loss(estimate, clean).backward()
    assert estimate.grad.isfinite().all()
    assert estimate.grad.any()
    assert all(weight.grad is None for weight in loss.parameters())


@torch.no_grad()
def test_time_is_dim_1(encoder, speech):
    encoder.eval()
    short, long = (encoder(speech[:1, :n]).stages for n in (1600, 3200))
    for one, two in zip(short, long, strict=True):
        assert two.shape[2:] == one.shape[2:]
        clip_embedding = one.shape[1] == two.shape[1] == 1
        assert clip_embedding or 1.9 < two.shape[1] / one.shape[1] < 2.1


@pytest.mark.parametrize("cls", ENCODERS)
@torch.no_grad()
def test_other_rates_are_resampled(cls, speech):
    waveforms = speech[:1, 8000:9600]
    features = cls(48000).eval()(resample(waveforms, 16000, 48000)).stages[-1]
    expected = cls(16000).eval()(waveforms).stages[-1]
    assert features.shape == expected.shape
    # What is above the resampling filter's cut-off differs.
    assert (features - expected).abs().mean() < 0.2 * expected.abs().mean()


@pytest.mark.parametrize("cls", ENCODERS)
def test_missing_packages_are_named(cls, monkeypatch):
    for name in ("cdpam", "distillmos"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"missing.*speechbrain-mal\[perceptual\]"):
        cls()
