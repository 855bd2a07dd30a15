"""A loss beside a recipe's own: its scale, and when it follows the model."""

import copy

import pytest
import torch
from speechbrain.nnet.losses import l1_loss, mse_loss

from speechbrain_mal.losses import AuxiliaryLoss, DeepFeatureLoss, ModelAsLoss


def step(model, term, speech, epoch=1, number=0, weight_change=0.01):
    """Take a training batch, then change the weights as an optimizer would."""
    enhanced = model(speech)
    main = (enhanced - speech).abs().mean()
    loss = term(main, enhanced, speech, epoch=epoch, step=number)
    with torch.no_grad():
        for weight in model.parameters():
            weight += weight_change
    return main, loss


def validate(model, term, speech):
    with torch.no_grad():
        enhanced = model(speech)
        main = (enhanced - speech).abs().mean()
        return main, term(main, enhanced, speech)


def same(model, term):
    live, mal = model.encoder.state_dict(), term.loss.encoder.state_dict()
    return all(torch.equal(live[k], mal[k]) for k in mal if "num_batches" not in k)


def test_first_batch_copies_the_encoder_and_sets_the_scale(model, speech):
    term = AuxiliaryLoss(ModelAsLoss(model.encoder), weight=0.5)
    with torch.no_grad():  # the recipe trains without the loss for a while
        for weight in model.parameters():
            weight += 0.01
    assert not same(model, term)
    main, loss = validate(model, term, speech)
    assert torch.equal(loss, main)
    main, loss = step(model, term, speech, weight_change=0)
    assert same(model, term)
    torch.testing.assert_close(loss, 1.5 * main)
    scale = term.scale
    step(model, term, 0.5 * speech)
    assert term.scale == scale  # the encoder did not change
    main, loss = validate(model, term, speech)
    assert loss > main


@pytest.mark.parametrize("refresh", ["never", "epoch", "batch", "ema"])
@pytest.mark.parametrize("balance", ["magnitude", "magnitude_once"])
def test_the_scale_follows_a_changed_encoder(model, speech, refresh, balance):
    """Features 50 times as large after a refresh: the term stays as it was, or not."""
    term = AuxiliaryLoss(
        ModelAsLoss(model.encoder, refresh, distance="mse", decay=0, layers=[3]),
        balance=balance,
    )
    step(model, term, speech, weight_change=0)
    with torch.no_grad():  # of a stage that nothing but the loss sees here
        model.encoder.erb_conv3[-2].weight *= 50
        model.encoder.erb_conv3[-2].bias *= 50
    main, loss = step(model, term, speech, epoch=2, number=1, weight_change=0)
    followed = refresh == "never" or balance == "magnitude"
    assert (loss < 3 * main) == followed


def test_balance(speech):
    main, enhanced = torch.tensor(3.0), (speech + 0.5).requires_grad_()
    assert AuxiliaryLoss(l1_loss)(main, enhanced, speech) == 6
    coefficient = AuxiliaryLoss(l1_loss, 0.5, "coefficient")
    assert coefficient(main, enhanced, speech).item() == pytest.approx(3.25, abs=1e-3)
    # In dB a loss may be negative; its scale is a size.
    assert AuxiliaryLoss(l1_loss)(-main, enhanced, speech).item() == pytest.approx(0)


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
        sizes = [
            torch.autograd.grad(x, weights, retain_graph=True) for x in (main, own)
        ]
        norms.append([gradient.norm().item() for (gradient,) in sizes])
        total = term(main, enhanced, clean)
        means = torch.tensor(norms[:16]).mean(0)
        torch.testing.assert_close(total, main + 0.5 * means[0] / means[1] * own)
    assert weights.grad is None


def test_functions_are_losses(speech):
    """SpeechBrain's losses take `(predictions, targets, length)`, masks included."""
    lengths = torch.tensor([1.0, 0.5, 1.0, 1.0])
    enhanced = (speech + 0.5).requires_grad_()
    with torch.no_grad():
        enhanced[1, 12000:] = 99.0
    term = AuxiliaryLoss(l1_loss, balance="coefficient")
    value = term(torch.tensor(0.0), enhanced, speech, lengths)
    assert value.item() == pytest.approx(0.5, abs=1e-3)


@pytest.fixture
def model(small_model):
    return small_model.eval()  # BatchNorm's statistics would move in every batch


@pytest.mark.parametrize(
    ("refresh", "after_step", "after_epoch"),
    [
        ("never", False, False),
        ("epoch", False, True),
        ("batch", True, True),
        ("ema", False, False),  # it lies between
    ],
)
def test_refresh_follows_the_model(model, speech, refresh, after_step, after_epoch):
    term = AuxiliaryLoss(ModelAsLoss(model.encoder, refresh))
    step(model, term, speech, epoch=3, number=7)
    # A batch whose gradient is added to the last one's: no step, so nothing moves.
    before = copy.deepcopy(term.loss.encoder.state_dict())
    step(model, term, speech, epoch=3, number=7, weight_change=0)
    after = term.loss.encoder.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    step(model, term, speech, epoch=3, number=8, weight_change=0)
    assert same(model, term) == after_step
    step(model, term, speech, epoch=4, number=8, weight_change=0)
    assert same(model, term) == after_epoch


def test_running_average_lies_between(model, speech):
    term = AuxiliaryLoss(ModelAsLoss(model.encoder, "ema", decay=0.5))
    before = copy.deepcopy(model.encoder.state_dict())
    step(model, term, speech, number=1)
    step(model, term, speech, number=2, weight_change=0)
    for name, weight in model.encoder.named_parameters():
        averaged = term.loss.encoder.state_dict()[name]
        torch.testing.assert_close(averaged, before[name] + 2 / 3 * 0.01)
        assert not torch.equal(averaged, weight)


@pytest.mark.parametrize(
    ("refresh", "given"), [("epoch", "step"), ("batch", "epoch"), ("ema", "epoch")]
)
def test_a_refresh_without_its_number_is_an_error(model, refresh, given):
    mal = ModelAsLoss(model.encoder, refresh)
    needed = "epoch" if refresh == "epoch" else "step"
    with pytest.raises(ValueError, match=rf"refresh: {refresh} needs at\({needed}="):
        mal.at(**{given: 1})


@pytest.mark.parametrize(
    ("refresh", "balance"),
    [
        ("never", "gradient"),
        ("epoch", "gradient"),
        ("batch", "magnitude"),
        ("ema", "magnitude"),
    ],
)
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


def test_forgets(model, speech):
    term = AuxiliaryLoss(ModelAsLoss(model.encoder))
    step(model, term, speech)
    assert not same(model, term)
    term.forget()
    main, loss = step(model, term, speech, weight_change=0)
    assert same(model, term)
    torch.testing.assert_close(loss, 2 * main)


def test_errors(model, speech):
    with pytest.raises(ValueError, match="refresh is one of .*not 'often'"):
        ModelAsLoss(model.encoder, refresh="often")
    with pytest.raises(ValueError, match="balance is one of .*not 'equal'"):
        AuxiliaryLoss(l1_loss, balance="equal")
    with pytest.raises(ValueError, match="is 0.0 where the main loss's is 1.0"):
        enhanced = speech.clone().requires_grad_()
        AuxiliaryLoss(l1_loss)(torch.tensor(1.0), enhanced, speech)
    # A loss that follows no model ignores where training is.
    frozen = AuxiliaryLoss(DeepFeatureLoss(copy.deepcopy(model.encoder)))
    assert step(model, frozen, speech, epoch=5, number=9)[1].isfinite()
