"""Model as Loss in a Brain that knows nothing of it."""

import copy

import pytest
import torch

from speechbrain_mal.losses import AddedTerm, DeepFeatureLoss, ModelAsLoss


@pytest.fixture
def model(small_model):
    return copy.deepcopy(small_model)


def step(model, term, speech, weight_change=0.01):
    """Take a training batch; then change the model, as an optimizer would."""
    enhanced = model(speech + 0.01 * torch.randn_like(speech))
    own = (enhanced - speech).abs().mean()
    loss = term(own, enhanced, speech)
    with torch.no_grad():
        for weight in model.parameters():
            weight += weight_change
    return own, loss


def validate(model, term, speech):
    with torch.no_grad():
        return term(torch.tensor(1.0), model(speech), speech)


def same(model, term):
    live, frozen = model.encoder.state_dict(), term.loss.encoder.state_dict()
    return all(torch.equal(value, frozen[name]) for name, value in live.items())


def test_phase_two_starts_with_the_model_as_trained(model, speech):
    term = AddedTerm(ModelAsLoss(model.encoder))
    with torch.no_grad():  # a checkpoint is loaded
        for weight in model.parameters():
            weight += 0.01
    assert not same(model, term)
    assert validate(model, term, speech) == 1.0  # before phase two: the recipe's own
    own, loss = step(model, term, speech, weight_change=0.0)
    assert same(model, term)
    torch.testing.assert_close(loss, 2 * own)
    assert validate(model, term, speech) > 1.0


@pytest.mark.parametrize(
    "refresh, batch_follows, epoch_follows",
    [("never", False, False), ("epoch", False, True), ("batch", True, True)],
)
def test_follows_the_model(model, speech, refresh, batch_follows, epoch_follows):
    term = AddedTerm(ModelAsLoss(model.encoder), refresh=refresh)
    step(model, term, speech)
    step(model, term, speech, weight_change=0.0)
    assert same(model, term) == batch_follows
    validate(model, term, speech)
    step(model, term, speech, weight_change=0.0)
    assert same(model, term) == epoch_follows


def test_running_average_lies_between(model, speech):
    term = AddedTerm(ModelAsLoss(model.encoder, decay=0.5), refresh="ema")
    before = copy.deepcopy(model.encoder.state_dict())
    step(model, term, speech)
    step(model, term, speech, weight_change=0.0)
    for name, weight in model.encoder.named_parameters():
        averaged = term.loss.encoder.state_dict()[name]
        torch.testing.assert_close(averaged, before[name] + 2 / 3 * 0.01)
        assert not torch.equal(averaged, weight)


def test_resumes_with_its_scale_and_encoder(model, speech):
    term = AddedTerm(ModelAsLoss(model.encoder))
    step(model, term, speech)
    resumed = AddedTerm(ModelAsLoss(copy.deepcopy(model.encoder)))
    resumed.load_state_dict(copy.deepcopy(term.state_dict()))
    enhanced = model(speech)
    own = (enhanced - speech).abs().mean()
    assert torch.equal(term(own, enhanced, speech), resumed(own, enhanced, speech))


def test_resumes_between_validation_and_epoch(model, speech):
    term = AddedTerm(ModelAsLoss(model.encoder), refresh="epoch")
    step(model, term, speech)
    validate(model, term, speech)
    resumed = AddedTerm(ModelAsLoss(model.encoder), refresh="epoch")
    resumed.load_state_dict(copy.deepcopy(term.state_dict()))
    assert not same(model, resumed)
    step(model, resumed, speech, weight_change=0.0)
    assert same(model, resumed)


def test_errors(model):
    with pytest.raises(ValueError, match="refresh is one of"):
        AddedTerm(ModelAsLoss(model.encoder), refresh="often")
    with pytest.raises(ValueError, match="follows no model"):
        AddedTerm(DeepFeatureLoss(copy.deepcopy(model.encoder)), refresh="epoch")
