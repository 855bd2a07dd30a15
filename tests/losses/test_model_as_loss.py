import pytest
import torch
from toy_enhancer import Toy, change, same, snapshot

from speechbrain_mal.losses import ModelAsLoss

REFRESH = ["never", "epoch", "batch", "ema"]


@pytest.fixture
def model():
    return Toy()


def test_is_the_distance_of_the_models_own_features(small_model, speech):
    """In evaluation mode, of a copy whose weights are no part of what trains."""
    encoder = small_model.eval().encoder
    clean, noisy = (encoder(x).stages[-1] for x in (speech, speech + 0.01))
    mal = ModelAsLoss(encoder)
    expected = (clean - noisy).abs().mean()
    torch.testing.assert_close(mal(speech + 0.01, speech), expected)
    live = {id(weight) for weight in encoder.parameters()}
    assert not live & {id(weight) for weight in mal.parameters()}
    assert not any(weight.requires_grad for weight in mal.parameters())


def test_clean_features_build_no_graph(model, speech):
    mal, calls = ModelAsLoss(model.encoder), []
    mal.encoder.register_forward_hook(lambda _, inputs, out: calls.append(out))
    clean = speech.clone().requires_grad_()
    mal((speech + 0.01).requires_grad_(), clean).backward()
    assert clean.grad is None
    clean, enhanced = (features.stages[-1] for features in calls)
    assert clean.grad_fn is None
    assert enhanced.grad_fn is not None


@pytest.mark.parametrize(
    ("refresh", "after_step", "after_epoch"),
    [
        ("never", False, False),
        ("epoch", False, True),
        ("batch", True, True),
        ("ema", False, False),  # it lies between
    ],
)
def test_refresh_follows_the_model(model, refresh, after_step, after_epoch):
    mal = ModelAsLoss(model.encoder, refresh)
    change(model)  # before training
    assert mal.at(epoch=3, step=7) and same(mal.encoder, model.encoder)
    change(model)
    # A batch whose gradient is added to the last one's: no step, so nothing moves.
    before = snapshot(mal)
    assert not mal.at(epoch=3, step=7) and same(before, mal)
    assert mal.at(epoch=3, step=8) == (after_step or refresh == "ema")
    assert same(mal.encoder, model.encoder) == after_step
    assert mal.at(epoch=4, step=8) == (refresh == "epoch")
    assert same(mal.encoder, model.encoder) == after_epoch
    mal.forget()
    assert mal.at(epoch=4, step=8) and same(mal.encoder, model.encoder)


@pytest.mark.parametrize("number", [2, 5])
def test_average_is_bias_corrected(model, number):
    """The average of the encoders since the refresh, each step back weighs d less."""
    decay = 0.9
    mal = ModelAsLoss(model.encoder, "ema", decay=decay)
    history = []
    for step in range(number):
        change(model, 0.3)
        model.train()(torch.randn(2, 800))  # moves BatchNorm's statistics
        history.append(snapshot(model.encoder))
        mal.at(step=step)
    weights = torch.tensor([decay**n for n in reversed(range(number))])
    for name, value in mal.encoder.state_dict().items():
        states = torch.stack([state[name] for state in history])
        expected = states[-1]  # BatchNorm's count of batches
        if value.is_floating_point():
            expected = torch.tensordot(weights / weights.sum(), states, 1)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    mal.refresh()
    assert same(mal.encoder, model.encoder)


def test_errors_name_the_choice(model):
    with pytest.raises(ValueError, match="refresh is one of .*not 'often'"):
        ModelAsLoss(model.encoder, refresh="often")
    with pytest.raises(ValueError, match=r"decay is in \[0, 1\), not 1"):
        ModelAsLoss(model.encoder, decay=1)
    for refresh, given in (("epoch", "step"), ("batch", "epoch"), ("ema", "epoch")):
        needed = "epoch" if refresh == "epoch" else "step"
        message = rf"refresh: {refresh} needs at\({needed}="
        with pytest.raises(ValueError, match=message):
            ModelAsLoss(model.encoder, refresh).at(**{given: 1})
