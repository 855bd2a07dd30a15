import copy

import pytest
import torch
from torch import nn

from speechbrain_mal.contracts import PlainEncoder
from speechbrain_mal.losses import ModelAsLoss


class Mixing(nn.Module):
    """No lengths, one tensor, mixes the whole clip, has an RNN with dropout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 8, stride=4)
        self.norm = nn.BatchNorm1d(4)
        self.rnn = nn.LSTM(4, 4, 2, batch_first=True, dropout=0.5, bidirectional=True)

    def forward(self, waveforms):
        features = self.norm(self.conv(waveforms[:, None])).transpose(1, 2)
        features, _ = self.rnn(features - features.mean(1, keepdim=True))
        return features


@pytest.fixture(params=["deepfilternet2", "plain"])
def encoder(request, small_model):
    if request.param == "deepfilternet2":
        return small_model.encoder
    return PlainEncoder(Mixing())


def snapshot(module):
    state = module.state_dict().items()
    return {name: value.clone() for name, value in state if torch.is_tensor(value)}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_perfect_estimate_scores_zero(encoder, speech):
    assert ModelAsLoss(encoder)(speech, speech).item() == 0.0


def test_padding_never_changes_the_value(encoder, speech):
    torch.manual_seed(0)
    enhanced = speech + 0.1 * torch.randn_like(speech)
    samples = [24000, 16001, 9999, 4000]
    mal = ModelAsLoss(encoder)
    alone = [
        mal(enhanced[i : i + 1, :n], speech[i : i + 1, :n])
        for i, n in enumerate(samples)
    ]
    # What an enhancer leaves in the padding must have no influence either: NaN here.
    clean = speech.clone()
    for i, n in enumerate(samples):
        clean[i, n:] = 0
        enhanced[i, n:] = float("nan")
    batch = mal(enhanced, clean, torch.tensor(samples) / 24000)
    # float32 sums in another order
    torch.testing.assert_close(batch, torch.stack(alone).mean(), rtol=1e-5, atol=1e-8)


def test_gradient_flows_into_enhanced_only(encoder, speech):
    mal = ModelAsLoss(encoder)
    clean = speech.clone().requires_grad_()
    enhanced = (speech + 0.01).requires_grad_()
    mal(enhanced, clean).backward()
    assert enhanced.grad.abs().max() > 0
    assert clean.grad is None
    assert all(p.grad is None for p in [*mal.parameters(), *encoder.parameters()])
    assert torch.isfinite(enhanced.grad).all()


def test_encoder_stays_frozen_until_refresh(encoder, speech):
    mal = ModelAsLoss(encoder)
    before = snapshot(mal)
    mal.train()
    moving = [x for x in mal.encoder.modules() if not isinstance(x, nn.RNNBase)]
    assert not any(module.training for module in moving)
    optimizer = torch.optim.SGD([p for p in encoder.parameters()], lr=0.1)
    encoder.train()
    for _ in range(2):
        features = encoder(speech).stages[-1]
        (features.square().mean() + mal(speech + 0.01, speech)).backward()
        optimizer.step()
    assert same(before, snapshot(mal))  # weights and BatchNorm statistics
    mal.refresh()
    assert same(snapshot(mal.encoder), snapshot(encoder))
    assert not same(before, snapshot(mal))


def test_live_encoder_is_no_part_of_the_loss(encoder):
    mal = ModelAsLoss(encoder)
    live = {id(p) for p in encoder.parameters()}
    assert not live & {id(p) for p in mal.parameters()}
    assert not any(p.requires_grad for p in mal.parameters())


def test_checkpoint_restores_the_copy(encoder, speech):
    mal = ModelAsLoss(encoder)
    value = mal(speech + 0.01, speech)
    saved = copy.deepcopy(mal.state_dict())
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1)
    other = ModelAsLoss(encoder)
    assert other(speech + 0.01, speech) != value
    other.load_state_dict(saved)
    assert other(speech + 0.01, speech) == value


def test_float32_inside_autocast(encoder, speech):
    mal = ModelAsLoss(encoder)
    outside = mal(speech + 0.01, speech)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mal(speech + 0.01, speech)
        half = mal((speech + 0.01).bfloat16(), speech)
    assert inside.dtype == torch.float32
    assert inside == outside
    assert half.dtype == torch.float32


def test_reductions_and_layers(small_model, speech):
    encoder, noisy = small_model.encoder, speech + 0.01
    mean = ModelAsLoss(encoder)(noisy, speech)
    norm = ModelAsLoss(encoder, reduction="sum")(noisy, speech)
    torch.testing.assert_close(norm, 32 * mean)  # the embedding has 32 features
    values = [ModelAsLoss(encoder, layers=[i])(noisy, speech) for i in range(7)]
    every = ModelAsLoss(encoder, layers=range(7))(noisy, speech)
    torch.testing.assert_close(every, torch.stack(values).mean())


def test_l1_by_hand(small_model, speech):
    small_model.eval()
    with torch.no_grad():
        clean = small_model.encoder(speech).stages[-1]
        noisy = small_model.encoder(speech + 0.01).stages[-1]
    expected = (clean - noisy).abs().mean()
    torch.testing.assert_close(
        ModelAsLoss(small_model.encoder)(speech + 0.01, speech), expected
    )


def test_errors_name_the_choice(small_model, speech):
    with pytest.raises(ValueError, match=r"layers is a list.*not \[\]"):
        ModelAsLoss(small_model.encoder, layers=[])
    with pytest.raises(ValueError, match="'mean' or 'sum', not 'max'"):
        ModelAsLoss(small_model.encoder, reduction="max")
    with pytest.raises(IndexError, match=r"layers \[9\].*7 stage.*\[-7, 6\]"):
        ModelAsLoss(small_model.encoder, layers=[9])(speech, speech)


def test_clean_features_build_no_graph(encoder, speech):
    mal = ModelAsLoss(encoder)
    calls = []
    mal.encoder.register_forward_hook(lambda _, inputs, out: calls.append(out))
    mal((speech + 0.01).requires_grad_(), speech)
    clean, enhanced = (features.stages[-1] for features in calls)
    assert clean.grad_fn is None
    assert enhanced.grad_fn is not None


def test_average_is_bias_corrected(small_model):
    """The average of the encoders since the refresh, each step back weighs d less."""
    encoder, decay = small_model.encoder, 0.9
    mal = ModelAsLoss(encoder, "ema", decay=decay)
    mal.at(step=0)
    torch.manual_seed(0)
    history = [snapshot(encoder)]
    for step in range(1, 5):
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.add_(torch.randn_like(parameter))
        encoder.erb_conv0(torch.randn(2, 1, 5, 32))  # moves BatchNorm's statistics
        history.append(snapshot(encoder))
        mal.at(step=step)
    weights = torch.tensor([decay**n for n in range(4, -1, -1)])
    weights = weights / weights.sum()
    for name, value in mal.encoder.state_dict().items():
        states = torch.stack([state[name] for state in history])
        if value.is_floating_point():
            expected = torch.tensordot(weights, states, 1)
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(value, states[-1])
    mal.refresh()
    assert same(snapshot(encoder), snapshot(mal.encoder))


def test_average_goes_on_from_a_checkpoint(small_model):
    mal = ModelAsLoss(small_model.encoder, "ema")
    mal.at(step=0), mal.at(step=1)
    again = ModelAsLoss(small_model.encoder, "ema")
    again.load_state_dict(mal.state_dict())
    with torch.no_grad():
        for parameter in small_model.encoder.parameters():
            parameter.add_(1.0)
    mal.at(step=2), again.at(step=2)
    assert same(snapshot(mal.encoder), snapshot(again.encoder))
