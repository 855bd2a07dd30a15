"""What a checkpoint of a deep feature loss holds of its network."""

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


def test_network_itself_keeps_its_state_dict():
    network = Frames(pretrained=True)
    before = set(network.state_dict())
    loss = DeepFeatureLoss(network)
    assert set(network.state_dict()) == before
    assert set(loss.state_dict()) == {"encoder_checksum"}


def test_loading_is_strict(speech):
    loss = DeepFeatureLoss(Frames(pretrained=True))
    state = loss.state_dict()
    with pytest.raises(RuntimeError, match="Unexpected.*other"):
        loss.load_state_dict({**state, "other": torch.zeros(1)})
    # Checkpoints of version 0.1 hold the weights.
    old = {f"encoder.{k}": v for k, v in loss.encoder.state_dict().items()}
    loss.load_state_dict(old)
    assert len(old) == 2  # what was passed is as it was


def test_another_network_is_refused():
    state = AuxiliaryLoss(DeepFeatureLoss(Frames(True))).state_dict()
    other = AuxiliaryLoss(DeepFeatureLoss(Frames(True, seed=1)))
    with pytest.raises(ValueError, match=r"loss.encoder: this Frames has other we"):
        other.load_state_dict(state)


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
