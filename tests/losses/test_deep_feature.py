import copy

import pytest
import torch
from recipe_run import make_brain
from speechbrain.utils.checkpoints import Checkpointer
from torch import nn

from speechbrain_mal.contracts import PlainEncoder
from speechbrain_mal.losses import AuxiliaryLoss, DeepFeatureLoss, ModelAsLoss
from speechbrain_mal.models import (
    CDPAMEncoder,
    DistillMOSEncoder,
    SelfSupervisedEncoder,
)


class LogSpectra(nn.Module):
    """A layer for each factor."""

    def __init__(self, *factors):
        super().__init__()
        self.factors = factors

    def forward(self, waveforms):
        window = torch.hann_window(256)
        spectrum = torch.stft(waveforms, 256, window=window, return_complex=True)
        features = spectrum.abs().add(1e-3).log().transpose(1, 2)
        return [factor * features for factor in self.factors]


@pytest.mark.parametrize("distance", ["l1", "mse"])
def test_distance_by_hand(speech, distance):
    encoder = PlainEncoder(LogSpectra(1.0))
    (a,), (b,) = (encoder(x).stages for x in (speech + 0.01, speech))
    size = {"l1": torch.abs, "mse": torch.square}[distance]
    value = DeepFeatureLoss(encoder, distance=distance)(speech + 0.01, speech)
    torch.testing.assert_close(value, size(a - b).mean())


@pytest.mark.parametrize("distance", ["l1", "mse"])
def test_normalized_layers_weigh_alike_at_any_scale(speech, distance):
    even, loud = (PlainEncoder(LogSpectra(*x)) for x in ((1.0, 1.0), (1000.0, 0.01)))
    options = {"layers": [0, 1], "distance": distance}
    first, second = (
        DeepFeatureLoss(x, normalize=True, **options)(speech + 0.01, speech)
        for x in (even, loud)
    )
    torch.testing.assert_close(first, second)
    plain = DeepFeatureLoss(loud, **options)(speech + 0.01, speech)
    assert plain > 100 * first  # where the loud layer is all there is


def test_layers_and_reductions(small_model, speech):
    encoder, noisy = small_model.encoder, speech + 0.01
    values = [ModelAsLoss(encoder, layers=[i])(noisy, speech) for i in range(7)]
    every = ModelAsLoss(encoder, layers=range(7))(noisy, speech)
    torch.testing.assert_close(every, torch.stack(values).mean())
    norm = ModelAsLoss(encoder, reduction="sum")(noisy, speech)
    torch.testing.assert_close(norm, 32 * values[-1])  # the embedding has 32 features


@pytest.mark.parametrize("loss_class", [DeepFeatureLoss, ModelAsLoss])
def test_mistakes_are_named(loss_class, speech):
    network, encoder = LogSpectra(1.0), PlainEncoder(LogSpectra(1.0))
    for wrong in (None, network):
        with pytest.raises(TypeError, match=r"not an Encoder.*PlainEncoder\(network\)"):
            loss_class(wrong)
    with pytest.raises(TypeError, match="network is a NoneType"):
        PlainEncoder(None)
    for layers in ([], ["conv1"], "conv1", -1, None):
        with pytest.raises(ValueError, match=r"layers is a list of indices.*not "):
            loss_class(encoder, layers=layers)
    with pytest.raises(ValueError, match="'l1' or 'mse', not 'l2'"):
        loss_class(encoder, distance="l2")
    with pytest.raises(ValueError, match="'mean' or 'sum', not 'max'"):
        loss_class(encoder, reduction="max")
    message = r"layers \[1\]: the encoder returns 1 stage.*\[-1, 0\]"
    with pytest.raises(IndexError, match=message):
        loss_class(encoder, layers=[1])(speech, speech)
    with pytest.raises(ValueError, match=r"\[4, 23999\] and clean \[4, 24000\].*Cut"):
        loss_class(encoder)(speech[:, :-1], speech)
    with pytest.raises(ValueError, match=r"have to be \[B, samples\]"):
        loss_class(encoder)(speech[..., None], speech[..., None])


@pytest.mark.parametrize("loss_class", [DeepFeatureLoss, ModelAsLoss])
def test_features_without_a_time_axis_are_refused(loss_class, speech):
    class Pooled(nn.Module):
        def forward(self, waveforms):
            return waveforms.unfold(1, 80, 80).mean(1)

    class Random(nn.Module):
        calls = 0

        def forward(self, waveforms):
            Random.calls += 1
            return waveforms.unfold(1, 80, 80)[:, Random.calls :]

    for encoder in (Pooled(), Random()):
        with pytest.raises(ValueError, match=r"stage -1 .* have to be \[B, T, ...\]"):
            loss_class(PlainEncoder(encoder))(speech, speech)


# ------------------------------------------------- what a checkpoint holds of a network


class Frames(PlainEncoder):
    """A network of 200 kB."""

    def __init__(self, pretrained, seed=0):
        torch.manual_seed(seed)
        super().__init__(nn.Conv1d(1, 500, 100, stride=100))
        self.pretrained = pretrained

    def stages(self, waveforms):
        return [self.network(waveforms[:, None]).transpose(1, 2)]


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "encoder", [SelfSupervisedEncoder, CDPAMEncoder, DistillMOSEncoder]
)
def test_encoders_that_load_their_weights_say_so(encoder):
    assert encoder.pretrained


def test_checkpoint_is_small_and_goes_on_alike(tmp_path, speech):
    """A term around a pre-trained network, through SpeechBrain's checkpointer."""
    sizes = {}
    for pretrained in (True, False):
        folder = tmp_path / str(pretrained)
        terms = [AuxiliaryLoss(DeepFeatureLoss(Frames(pretrained))) for _ in range(2)]
        enhanced = (speech + 0.01).requires_grad_()
        own = enhanced.square().mean()
        terms[0](own, enhanced, speech)
        checkpoint = Checkpointer(folder, {"mal": terms[0]}).save_checkpoint()
        Checkpointer(folder, {"mal": terms[1]}).recover_if_possible()
        assert torch.equal(*(term(own, enhanced, speech) for term in terms))
        sizes[pretrained] = (checkpoint.path / "mal.ckpt").stat().st_size
    assert sizes[True] < 10_000 < 200_000 < sizes[False]


def test_checksum_stands_for_the_weights_in_the_loss_alone():
    network = Frames(pretrained=True)
    before = set(network.state_dict())
    loss = DeepFeatureLoss(network)
    assert set(network.state_dict()) == before
    assert set(loss.state_dict()) == {"encoder_checksum"}
    with pytest.raises(RuntimeError, match="Unexpected.*other"):
        loss.load_state_dict({**loss.state_dict(), "other": torch.zeros(1)})
    old = {f"encoder.{k}": v for k, v in network.state_dict().items()}
    loss.load_state_dict(old)  # one that holds the weights
    assert len(old) == 2  # what was passed is as it was
    other = AuxiliaryLoss(DeepFeatureLoss(Frames(True, seed=1)))
    with pytest.raises(ValueError, match=r"loss.encoder: this Frames has other we"):
        other.load_state_dict(AuxiliaryLoss(loss).state_dict())


def test_encoder_that_changes_is_saved():
    """A model whose encoder is a pre-trained network that trains with it."""
    live = Frames(pretrained=True)
    mal = ModelAsLoss(live)
    with torch.no_grad():
        live.network.weight += 1.0
    mal.refresh()
    resumed = ModelAsLoss(Frames(pretrained=True))
    resumed.load_state_dict(copy.deepcopy(mal.state_dict()))
    assert same(resumed.encoder, live)


def test_random_encoder_is_saved(tmp_path):
    """Built again, mal_random's network would have other weights."""
    losses = [
        make_brain(tmp_path, "mal_random", baseline_folder="x", seed=seed).loss
        for seed in (1, 2)
    ]
    first, second = (loss.added["random"].loss.encoder for loss in losses)
    assert not same(first, second)
    losses[1].load_state_dict(copy.deepcopy(losses[0].state_dict()))
    assert same(first, second)
