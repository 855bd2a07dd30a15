"""Frozen networks: gradients flow through them, and nothing in them moves."""

import copy

import pytest
import torch
from devices import cudnn_rule, meta_device
from speechbrain.nnet import RNN
from torch import nn

from speechbrain_mal.contracts import PlainEncoder, freeze
from speechbrain_mal.losses import AuxiliaryLoss, DeepFeatureLoss, ModelAsLoss
from speechbrain_mal.models.gru import GRU

RNNS = {
    "GRU": lambda: nn.GRU(8, 4, 2, batch_first=True, dropout=0.5),
    "LSTM": lambda: nn.LSTM(8, 4, 2, batch_first=True, dropout=0.5, bidirectional=True),
    "RNN": lambda: nn.RNN(8, 4, batch_first=True),
    "own GRU": lambda: GRU(8, 4, 2),
    "SpeechBrain's LSTM": lambda: RNN.LSTM(
        4, input_size=8, num_layers=2, dropout=0.5, bidirectional=True
    ),
    "SpeechBrain's GRU": lambda: RNN.GRU(4, input_size=8, num_layers=2, dropout=0.5),
    "SpeechBrain's LiGRU": lambda: RNN.LiGRU(4, input_shape=[4, 10, 8], dropout=0.5),
}


class Recurrent(nn.Module):
    """Frames, a normalisation with statistics, dropout, an RNN."""

    def __init__(self, rnn):
        super().__init__()
        self.norm, self.drop, self.rnn = nn.BatchNorm1d(8), nn.Dropout(0.5), rnn

    def forward(self, waveforms):
        frames = waveforms.unfold(1, 8, 80)
        frames = self.norm(frames.transpose(1, 2)).transpose(1, 2)
        return self.rnn(self.drop(frames))[0]


@pytest.fixture
def speech(speech):
    """Return a quarter of a second of each clip: RNNs are slow."""
    return speech[:, 8000:12000]


@pytest.fixture(params=RNNS)
def encoder(request):
    torch.manual_seed(0)
    return PlainEncoder(Recurrent(RNNS[request.param]()))


def test_the_stand_in_refuses_what_cudnn_refuses():
    x = torch.randn(2, 5, 8, requires_grad=True)
    for make in (RNNS["GRU"], RNNS["own GRU"]):
        with cudnn_rule():
            make().eval()(x)[0].sum()  # forward alone is allowed
            with pytest.raises(RuntimeError, match="only be called in training mode"):
                make().eval()(x)[0].sum().backward()
            make().train()(x)[0].sum().backward()


def gradient(loss, speech, autocast=False):
    """Return a loss's value and gradient, which is relative to its largest sample."""
    enhanced = (speech + 0.01).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value = loss(enhanced, speech)
    value.backward()
    return value.detach(), enhanced.grad / enhanced.grad.abs().max()


def same(found, expected):
    """Tell whether both agree but for sums of float32 in another order."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_gradients_flow_and_nothing_moves(encoder, speech):
    """Frozen, in any mode, inside autocast: the values are evaluation mode's."""
    # Squared: rounding may turn the sign that the absolute distance's gradient is.
    reference = DeepFeatureLoss(copy.deepcopy(encoder), distance="mse")
    reference.encoder.eval()  # all of it, RNNs as well: as a CPU allows
    expected = gradient(reference, speech)
    loss = DeepFeatureLoss(copy.deepcopy(encoder), distance="mse")
    before = copy.deepcopy(loss.state_dict())
    with cudnn_rule():
        for change in (lambda: None, loss.train, loss.eval, loss.train):
            change()
            same(gradient(loss, speech), expected)
            same(gradient(loss, speech, autocast=True), expected)
    after = loss.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert expected[1].abs().max() > 0
    assert all(weight.grad is None for weight in loss.parameters())


@pytest.mark.parametrize("refresh", ["never", "epoch", "batch", "ema"])
def test_copies_obey_the_rule_too(encoder, speech, refresh):
    """Deep-copied, refreshed, averaged, through the modes that a Brain sets."""
    model = copy.deepcopy(encoder)
    term = AuxiliaryLoss(ModelAsLoss(model, refresh, collapse_below=0))
    with cudnn_rule():
        for step in range(3):
            model.train()
            term.train()
            enhanced = (speech + 0.01).requires_grad_()
            main = (enhanced - speech).abs().mean()
            term(main, enhanced, speech, epoch=step, step=step).backward()
            assert enhanced.grad.abs().max() > 0
            with torch.no_grad():
                for weight in model.parameters():
                    weight += 0.01


def test_padding_goes_with_the_clips_not_with_the_batch(encoder, speech):
    encoder = freeze(encoder)
    counts = [4000, 1999, 3000, 1999]
    batch = speech.clone()
    for clip, count in zip(batch, counts, strict=True):
        clip[count:] = float("nan")  # never looked at
    with pytest.warns(UserWarning, match="one length at a time"):
        stages, frames = encoder(batch, torch.tensor(counts) / 4000)
    for i, count in enumerate(counts):
        (alone,), _ = encoder(batch[i : i + 1, :count])
        assert frames[0][i] == alone.shape[1]
        torch.testing.assert_close(stages[0][i : i + 1, : frames[0][i]], alone)


def test_the_meta_device_refuses_what_a_device_does():
    x = torch.ones(2, device="meta")
    with meta_device(), pytest.raises(RuntimeError, match="device"):
        x + torch.ones(2)
    with meta_device(), pytest.raises(RuntimeError, match="meta"):
        x.sum().item()
    with meta_device(), pytest.raises(RuntimeError, match="meta"):
        bool(x.sum() > 0)
