"""Every adapter is an enhancer with an encoder, whatever the model inside."""

import copy

import pytest
import torch
from speechbrain.lobes.models import dual_path
from speechbrain.lobes.models.transformer.TransformerSE import CNNTransformerSE
from tiny_networks import build_enhancer, enhancer_nodes
from torch import nn
from torch.nn import functional as F

from speechbrain_mal.contracts import Enhancer
from speechbrain_mal.losses import ModelAsLoss
from speechbrain_mal.models import (
    LayerEncoder,
    LearnedBasisEnhancer,
    SpectralMaskEnhancer,
    WaveformEnhancer,
)


@pytest.fixture(params=enhancer_nodes())
def enhancer(request):
    return build_enhancer(request.param)


def storages(module):
    return {x.data_ptr() for x in [*module.parameters(), *module.buffers()]}


@torch.no_grad()
def test_output_has_the_inputs_length(enhancer):
    for batch, samples in ((1, 8000), (2, 4501)):
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


@torch.no_grad()
def test_time_is_dim_1(enhancer):
    enhancer.eval()
    encoder = enhancer.encoder
    short, long = (encoder(torch.randn(2, n)).stages for n in (8192, 16384))
    assert len(short) == len(encoder.layers)
    for a, b in zip(short, long, strict=True):
        assert a.shape[0] == 2
        assert a.shape[2:] == b.shape[2:]
        assert 1.7 < b.shape[1] / a.shape[1] < 2.1


def test_model_as_loss_takes_it(enhancer):
    noisy, clean = torch.randn(2, 2, 4501)
    mal = ModelAsLoss(enhancer.encoder, layers=range(len(enhancer.encoder.layers)))
    live, copied = storages(enhancer), storages(mal.encoder)
    assert not live & copied
    assert mal(clean, clean, torch.tensor([1.0, 0.5])).item() == 0
    loss = mal(enhancer(noisy), clean)
    loss.backward()
    assert torch.isfinite(loss)
    gradients = [p.grad for p in enhancer.parameters() if p.grad is not None]
    assert any(g.abs().max() > 0 for g in gradients)
    assert all(p.grad is None for p in mal.parameters())
    # A copy of the enhancer has an encoder of its own weights.
    again = copy.deepcopy(enhancer)
    assert storages(again.encoder) <= storages(again)
    assert not storages(again.encoder) & live


def test_frozen_encoder_fixes_the_features(enhancer):
    """What the features depend on is in the parts, and no weight behind them."""
    enhancer.eval()
    clip = torch.randn(1, 16000)
    before = [x.detach().clone() for x in enhancer.encoder(clip).stages]
    inside = storages(enhancer.encoder)
    with torch.no_grad():
        for parameter in enhancer.parameters():
            if parameter.data_ptr() not in inside:
                parameter.add_(1.0)
    after = enhancer.encoder(clip).stages
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
    resnet = build_enhancer("enhance_resnet")
    resnet.network.mask_weight = 0.0
    # Its last frame ends before the margin does.
    torch.testing.assert_close(resnet(noisy), noisy, rtol=0, atol=1e-4)
    wave = WaveformEnhancer(nn.Sequential(nn.Identity()), ["0"], channel_dim=2)
    assert torch.equal(wave(noisy), noisy)


def test_features_are_those_that_the_model_computes(enhancer):
    """The encoder's layers, called by it, return what they do in the whole model."""
    enhancer.eval()
    noisy = torch.randn(2, 9001)
    seen = []

    def keep(layer, inputs, output):
        seen.append(output if torch.is_tensor(output) else output[0])

    encoder = enhancer.encoder
    hooks = [layer.register_forward_hook(keep) for layer in encoder.layers]
    enhancer(noisy)
    for hook in hooks:
        hook.remove()
    stages = encoder(noisy).stages
    for stage, output, dim in zip(stages, seen, encoder.time_dims, strict=True):
        # Attention and convolutions may take other kernels for another memory layout.
        torch.testing.assert_close(stage, output.movedim(dim, 1), rtol=0, atol=1e-6)


def test_causal_attention_stays_causal():
    network = CNNTransformerSE(
        16, 257, nhead=2, num_layers=2, d_ffn=8, custom_emb_module=nn.Linear(257, 16)
    )
    enhancer = SpectralMaskEnhancer(network, ["custom_emb_module", "encoder"]).eval()
    noisy = torch.randn(1, 16000)
    later = noisy.clone()
    later[:, 12000:] = 0
    a, b = (enhancer.encoder(x).stages[-1][:, :40] for x in (noisy, later))
    torch.testing.assert_close(a, b)
    assert enhancer(noisy).shape == noisy.shape


@pytest.mark.parametrize("name", ["blstm", "metricgan"])
def test_recurrent_layers_take_padded_clips_in_one_pass(name, recwarn):
    encoder = build_enhancer(name).eval().encoder
    counts = [16000, 9001, 4096]
    clips = [torch.randn(1, n) for n in counts]
    batch = torch.cat([F.pad(x, (0, 16000 - x.shape[1])) for x in clips])
    stages, frames = encoder(batch, torch.tensor(counts) / 16000)
    assert not [w for w in recwarn if "one length at a time" in str(w.message)]
    for i, clip in enumerate(clips):
        (alone,), _ = encoder(clip)
        assert frames[0][i] == alone.shape[1]
        # float32 sums in another order
        torch.testing.assert_close(stages[0][i : i + 1, : frames[0][i]], alone)


def test_errors_name_the_layers():
    with pytest.raises(ValueError, match=r"layers: \['encodr'\] named.*'part'"):
        SpectralMaskEnhancer(Mask(), ["encodr"])
    with pytest.raises(ValueError, match="layers: none named"):
        SpectralMaskEnhancer(Mask(), [])
    with pytest.raises(ValueError, match="time_dim has 2 values for 1 layers"):
        LayerEncoder([nn.Identity()], [1, 2])
    block = dual_path.SBRNNBlock(8, 8, 1, "LSTM", bidirectional=True)
    masknet = dual_path.Dual_Path_Model(
        8, 8, block, block, K=20, num_spks=1, use_global_pos_enc=True
    )
    with pytest.raises(ValueError, match="use_global_pos_enc"):
        LearnedBasisEnhancer(nn.Identity(), masknet, nn.Identity()).encoder  # noqa: B018
    with pytest.raises(TypeError, match=r"Enhancer has no enhance\(noisy, lengths\)"):
        Enhancer()(torch.zeros(1, 8))
