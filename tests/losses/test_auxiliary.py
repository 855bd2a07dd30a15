"""Losses beside a main loss: their scales, their phases, when they follow the model."""

import copy

import pytest
import torch
from speechbrain.nnet.losses import l1_loss, mse_loss
from torch import nn
from toy_enhancer import Toy, change, same

from speechbrain_mal.losses import (
    AuxiliaryLoss,
    DeepFeatureLoss,
    ModelAsLoss,
    WeightedLoss,
)


@pytest.fixture
def model():
    return Toy().eval()  # BatchNorm's statistics would move in every batch


def step(model, term, speech, epoch=1, number=0, amount=0.01):
    """Take a training batch, then change the weights as an optimizer would."""
    enhanced = model(speech)
    main = (enhanced - speech).abs().mean()
    loss = term(main, enhanced, speech, epoch=epoch, step=number)
    change(model, amount)
    return main, loss


def validate(model, term, speech):
    with torch.no_grad():
        enhanced = model(speech)
        main = (enhanced - speech).abs().mean()
        return main, term(main, enhanced, speech)


def test_first_batch_copies_the_encoder_and_sets_the_scale(model, speech):
    term = AuxiliaryLoss(ModelAsLoss(model.encoder), weight=0.5)
    change(model)  # the recipe trains without the loss for a while
    assert not same(model.encoder, term.loss.encoder)
    main, loss = validate(model, term, speech)
    assert torch.equal(loss, main)
    main, loss = step(model, term, speech, amount=0)
    assert same(model.encoder, term.loss.encoder)
    torch.testing.assert_close(loss, 1.5 * main)
    scale = term.scale
    step(model, term, 0.5 * speech)
    assert term.scale == scale  # the encoder did not change
    main, loss = validate(model, term, speech)
    assert loss > main
    term.forget()
    main, loss = step(model, term, speech, amount=0)
    assert same(model.encoder, term.loss.encoder)
    torch.testing.assert_close(loss, 1.5 * main)


@pytest.mark.parametrize("refresh", ["never", "epoch", "batch", "ema"])
@pytest.mark.parametrize("balance", ["magnitude", "magnitude_once", "gradient"])
def test_the_scale_follows_a_changed_encoder(model, speech, refresh, balance):
    """Features a hundredth as large after a refresh: the term keeps its size or not."""
    mal = ModelAsLoss(model.encoder, refresh, distance="mse", decay=0)
    term = AuxiliaryLoss(mal, balance=balance)
    main, loss = step(model, term, speech, amount=0)
    size = (loss - main) / main
    with torch.no_grad():
        model.encoder.network.norm.weight *= 0.01  # tanh is next to linear there
        model.gain.weight *= 100  # what is enhanced stays much the same
    main, loss = step(model, term, speech, epoch=2, number=1, amount=0)
    follows = refresh == "never" or balance != "magnitude_once"
    assert (0.2 < (loss - main) / main / size < 5) == follows


def test_gradients_are_made_equal(speech):
    """Those into the weights, in the mean of the first 16 batches; then it stays."""
    weights = torch.ones(2, requires_grad=True)
    term = AuxiliaryLoss(mse_loss, weight=0.5, balance="gradient")
    torch.manual_seed(0)
    norms = []
    for _ in range(20):
        clean = speech + 0.1 * torch.randn(4, 1)
        enhanced = weights[0] * clean + weights[1] * clean.flip(1)
        main, own = (loss(enhanced, clean) for loss in (l1_loss, mse_loss))
        both = [torch.autograd.grad(x, weights, retain_graph=True) for x in (main, own)]
        norms.append([gradient.norm().item() for (gradient,) in both])
        total = term(main, enhanced, clean)
        means = torch.tensor(norms[:16]).mean(0)
        torch.testing.assert_close(total, main + 0.5 * means[0] / means[1] * own)
    assert weights.grad is None


def test_balance(speech):
    main, enhanced = torch.tensor(3.0), (speech + 0.5).requires_grad_()
    assert AuxiliaryLoss(l1_loss)(main, enhanced, speech) == 6
    coefficient = AuxiliaryLoss(l1_loss, 0.5, "coefficient")
    assert coefficient(main, enhanced, speech).item() == pytest.approx(3.25, abs=1e-3)
    # In dB a loss may be negative; its scale is a size: a larger term is a larger loss.
    term = AuxiliaryLoss(l1_loss)
    assert term(-main, enhanced, speech).item() == pytest.approx(0)
    assert term(-main, enhanced + 0.5, speech).item() == pytest.approx(3, abs=1e-2)


def test_functions_are_losses(speech):
    """SpeechBrain's losses take `(predictions, targets, length)`, masks included."""
    lengths = torch.tensor([1.0, 0.5, 1.0, 1.0])
    enhanced = speech + 0.5
    enhanced[1, 12000:] = 99.0
    term = AuxiliaryLoss(l1_loss, balance="coefficient")
    enhanced.requires_grad_()
    value = term(torch.tensor(0.0), enhanced, speech, lengths)
    assert value.item() == pytest.approx(0.5, abs=1e-3)
    both = WeightedLoss({"l1": l1_loss})(enhanced, speech, lengths)
    assert both.item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("refresh", ["never", "epoch", "batch", "ema"])
@pytest.mark.parametrize("balance", ["magnitude", "gradient"])
def test_resumes_where_it_was(model, speech, refresh, balance):
    """Scale, MAL-encoder and what it has seen: the next batch is the same batch."""
    term = AuxiliaryLoss(ModelAsLoss(model.encoder, refresh), balance=balance)
    for number in range(3):
        step(model, term, speech, epoch=1, number=number)
    again = copy.deepcopy(model)
    resumed = AuxiliaryLoss(ModelAsLoss(again.encoder, refresh), balance=balance)
    resumed.load_state_dict(copy.deepcopy(term.state_dict()))
    for epoch, number in ((1, 3), (2, 4), (2, 5)):
        values = [
            step(*pair, speech, epoch, number)[1]
            for pair in ((model, term), (again, resumed))
        ]
        assert torch.equal(*values)


def test_a_perfect_batch_after_the_first_is_no_division_by_zero(model, speech):
    term = AuxiliaryLoss(ModelAsLoss(model.encoder, "batch"))
    step(model, term, speech, number=1)
    enhanced = speech.clone().requires_grad_()
    loss = term(torch.tensor(2.0), enhanced, speech, epoch=1, step=2)
    loss.backward()
    assert loss == 2
    assert enhanced.grad.isfinite().all()


def test_errors(model, speech):
    with pytest.raises(ValueError, match="balance is one of .*not 'equal'"):
        AuxiliaryLoss(l1_loss, balance="equal")
    with pytest.raises(ValueError, match="is 0.0 where the main loss's is 1.0"):
        enhanced = speech.clone().requires_grad_()
        AuxiliaryLoss(l1_loss)(torch.tensor(1.0), enhanced, speech)
    # A loss that follows no model ignores where training is.
    frozen = AuxiliaryLoss(DeepFeatureLoss(copy.deepcopy(model.encoder)))
    assert step(model, frozen, speech, epoch=5, number=9)[1].isfinite()


# --------------------------------------------------------- named terms, in two phases

ones, zeros = torch.ones(2, 8), torch.zeros(2, 8)


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, enhanced, clean, lengths=None):
        return self.factor * (enhanced - clean).abs().mean()


class WithNoise(Scaled):
    inputs = ("noisy", "local_snr")

    def forward(self, enhanced, clean, lengths, noisy, local_snr):
        return self.factor * noisy.mean() * (1 if local_snr is None else 2)


def added(factor, **options):
    return AuxiliaryLoss(Scaled(factor), **options)


def test_added_terms_wait_for_phase_two_and_are_each_as_large():
    terms = {"b": added(0.1, weight=0.5), "c": added(30.0)}
    loss = WeightedLoss({"a": Scaled(2.0)}, terms)
    assert loss.terms(ones, zeros).keys() == {"a"}
    assert loss(ones, zeros) == 2
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 2 + 2)
    loss.added["b"].loss.factor = 0.2  # the term doubles, its scale stays
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 4 + 2)
    other = WeightedLoss({"a": Scaled(2.0)}, {"b": added(7.0), "c": added(7.0)})
    other.load_state_dict(loss.state_dict())
    assert other.phase_two
    assert other.added["b"].scale == loss.added["b"].scale
    loss.start_phase_two()  # anew
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 2 + 2)


def test_terms_get_the_inputs_they_name():
    loss = WeightedLoss({"a": Scaled(1.0), "n": WithNoise(1.0)}, weights={"n": 0.5})
    outputs = {"noisy": 3 * ones, "local_snr": ones, "unused": ones}
    assert loss(ones, zeros, None, outputs) == 1 + 0.5 * 6
    # What the model does not put out is None.
    assert loss(ones, zeros, None, {"noisy": 3 * ones}) == 1 + 0.5 * 3


def test_errors_of_names_and_weights():
    with pytest.raises(ValueError, match=r"weights names \['b'\].*\['a'\]; an added"):
        WeightedLoss({"a": Scaled(1)}, {"b": added(1)}, weights={"b": 1})
    with pytest.raises(ValueError, match="one name each"):
        WeightedLoss({"a": Scaled(1)}, {"a": added(1)})
    with pytest.raises(ValueError, match="one name each"):
        WeightedLoss({})
    loss = WeightedLoss({"a": Scaled(0)}, {"b": added(1)})
    loss.start_phase_two()
    with pytest.raises(ValueError, match="main loss's is 0.0.*no scale"):
        loss(ones, zeros)
