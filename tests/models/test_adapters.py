"""Every adapter is an enhancer with an encoder, whatever the model inside."""

import copy
from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from speechbrain_mal.losses import ModelAsLoss
from speechbrain_mal.models import (
    SpectralMaskEnhancer,
    TappedEnhancer,
    WaveformEnhancer,
)

HPARAMS = Path(__file__).parents[2] / "hparams" / "models"
SMALL = {
    "cnn_transformer": {"channels": 128, "layers": 2},
    "fcn_2d": {"channels": 4, "kernel_size": [3, 3]},
    "blstm": {"hidden_size": 16},
    "metricgan": {},
    "segan": {},
    "enhance_resnet": {"channel_counts": [8, 16], "dense_nodes": 32},
    "conv_tasnet": {
        "filters": 32,
        "channels": 16,
        "hidden_size": 16,
        "blocks": 2,
        "repeats": 1,
    },
    "dprnn": {"filters": 32, "channels": 16, "chunk": 20},
    "sepformer": {"filters": 32, "channels": 16, "layers": 1, "chunk": 20},
}


def load(name):
    torch.manual_seed(0)
    with open(HPARAMS / f"{name}.yaml", encoding="utf-8") as file:
        return load_hyperpyyaml(file, SMALL[name])


@pytest.fixture(params=SMALL)
def enhancer(request):
    return load(request.param)["enhancer"]


def test_every_model_file_is_tested():
    names = {path.stem for path in HPARAMS.glob("*.yaml")}
    assert names == {*SMALL, "deepfilternet2"}


@pytest.mark.parametrize("name", SMALL)
def test_what_a_recipe_takes_from_the_file(name, speech):
    model = load(name)
    assert model["encoder"] is model["enhancer"].encoder
    assert model["front_end"].analysis(speech).shape[-1] == 161


def storages(module):
    return {x.data_ptr() for x in [*module.parameters(), *module.buffers()]}


@pytest.mark.parametrize("samples", [16000, 9001])
def test_output_has_the_inputs_length(enhancer, samples):
    for batch in (1, 2):
        noisy = torch.randn(batch, samples)
        assert enhancer(noisy, torch.ones(batch)).shape == noisy.shape
        assert enhancer(noisy).shape == noisy.shape


def test_encoder_is_a_part_of_the_model(enhancer):
    encoder = enhancer.encoder
    assert list(encoder.parameters())
    # Shared storage, saved and counted once, and something left for the decoder.
    assert storages(encoder) <= storages(enhancer)
    names = enhancer.state_dict().keys()
    assert not any(name.startswith(("_encoder", "encoder.")) for name in names)
    encoder.requires_grad_(False)
    assert any(parameter.requires_grad for parameter in enhancer.parameters())


def test_time_is_dim_1(enhancer):
    enhancer.eval()
    short, long = (enhancer.encoder(torch.randn(2, n)) for n in (16384, 32768))
    assert len(short) == len(enhancer.encoder.parts)
    for a, b in zip(short, long, strict=True):
        assert a.shape[0] == 2
        assert a.shape[2:] == b.shape[2:]
        assert 1.7 < b.shape[1] / a.shape[1] < 2.1


def test_model_as_loss_takes_it(enhancer):
    noisy, clean = torch.randn(2, 2, 9001)
    mal = ModelAsLoss(enhancer.encoder, layers=range(len(enhancer.encoder.parts)))
    live, copied = storages(enhancer), storages(mal.encoder)
    assert not live & copied
    assert mal(clean, clean, torch.tensor([1.0, 0.5])).item() == 0
    loss = mal(enhancer(noisy), clean)
    loss.backward()
    assert torch.isfinite(loss)
    gradients = [p.grad for p in enhancer.parameters() if p.grad is not None]
    assert any(g.abs().max() > 0 for g in gradients)
    assert all(p.grad is None for p in mal.parameters())
    # A copy of the enhancer taps itself, not the one it was copied from.
    again = copy.deepcopy(enhancer)
    assert storages(again.encoder) <= storages(again)
    assert not storages(again.encoder) & live


def test_frozen_encoder_fixes_the_features(enhancer):
    """What the features depend on is in the parts, and no weight behind them."""
    enhancer.eval()
    clip = torch.randn(1, 16000)
    before = [x.detach().clone() for x in enhancer.encoder(clip)]
    inside = storages(enhancer.encoder)
    with torch.no_grad():
        for parameter in enhancer.parameters():
            if parameter.data_ptr() not in inside:
                parameter.add_(1.0)
    after = enhancer.encoder(clip)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


class Mask(nn.Module):
    """A mask of ones, and a part to tap."""

    def __init__(self):
        super().__init__()
        self.part = nn.Identity()

    def forward(self, x):
        return torch.ones_like(self.part(x))


@pytest.mark.parametrize("samples", [16000, 9001])
def test_nothing_masked_is_nothing_moved(samples):
    noisy = torch.randn(2, samples)
    spectral = SpectralMaskEnhancer(Mask(), ["part"])
    torch.testing.assert_close(spectral(noisy), noisy, rtol=0, atol=1e-4)
    resnet = load("enhance_resnet")["enhancer"]
    resnet.network.mask_weight = 0.0
    # Its last frame ends before the margin does.
    torch.testing.assert_close(resnet(noisy), noisy, rtol=0, atol=1e-4)
    wave = WaveformEnhancer(nn.Sequential(nn.Identity()), ["0"], channel_dim=2)
    assert torch.equal(wave(noisy), noisy)


def test_own_model_in_a_few_lines(speech):
    class Denoiser(TappedEnhancer):
        def forward(self, noisy, lengths=None):
            return self.network(noisy[:, None])[:, 0]

    network = nn.Sequential(
        nn.Conv1d(1, 4, 9, padding=4), nn.ReLU(), nn.Conv1d(4, 1, 1)
    )
    enhancer = Denoiser(network, ["0", "1"], time_dim=2)
    assert enhancer(speech).shape == speech.shape
    assert ModelAsLoss(enhancer.encoder)(enhancer(speech), speech) > 0


def test_errors_name_the_parts():
    with pytest.raises(ValueError, match=r"parts: \['encodr'\] named.*'part'"):
        SpectralMaskEnhancer(Mask(), ["encodr"])
    with pytest.raises(ValueError, match="parts: none named"):
        SpectralMaskEnhancer(Mask(), [])
    with pytest.raises(ValueError, match="time_dim has 2 values for 1 parts"):
        SpectralMaskEnhancer(Mask(), ["part"], [1, 2])

    class Unused(Mask):
        def __init__(self):
            super().__init__()
            self.other = nn.Identity()

    enhancer = SpectralMaskEnhancer(Unused(), ["part", "other"])
    with pytest.raises(RuntimeError, match="called 1 of 2 parts"):
        enhancer.encoder(torch.randn(1, 16000))
