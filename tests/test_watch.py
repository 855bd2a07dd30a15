import pytest
import torch
from toy_enhancer import Toy

from speechbrain_mal.losses import ModelAsLoss
from speechbrain_mal.watch import (
    CollapseGuard,
    FeatureCollapseError,
    variance_over_time,
)


def shrink(mal, model, factor):
    """Scale what the encoder's features vary by."""
    with torch.no_grad():
        model.encoder.network.norm.weight *= factor
    mal.refresh()


def train_step(mal, speech, lengths=None):
    mal((speech + 0.01).requires_grad_(), speech, lengths)


def test_variance_is_each_clips_own():
    x = torch.randn(2, 30, 4, 3)
    clips = [x[:1], x[1:, :20]]
    alone = torch.stack([c.flatten(2).var(1, unbiased=False).mean() for c in clips])
    together = variance_over_time(x, torch.tensor([30, 20]))
    torch.testing.assert_close(together, alone.mean())
    whole = variance_over_time(x, None)
    torch.testing.assert_close(whole, variance_over_time(x, torch.tensor([30, 30])))


@pytest.mark.parametrize("below", [0.1, 0.0])
def test_a_collapsing_encoder_stops_the_run_or_not(speech, below):
    model = Toy()
    mal = ModelAsLoss(model.encoder, collapse_below=below)
    mal(speech + 0.01, speech)  # validation: no gradient
    assert not mal.guard.reference.any()
    for _ in range(3):
        train_step(mal, speech)
    assert mal.guard.relative_variance.item() == pytest.approx(1)
    shrink(mal, model, 0)
    if below:
        with pytest.raises(FeatureCollapseError, match="fallen to 0.1.*refresh: never"):
            for _ in range(200):
                train_step(mal, speech)
    else:
        for _ in range(150):
            train_step(mal, speech)
        assert mal.guard.relative_variance < 0.1


def test_one_layer_may_collapse_alone():
    guard = CollapseGuard(layers=2, below=0.5)
    falling, steady = torch.randn(1, 9, 4), torch.randn(1, 9, 3, 2)
    guard([falling, steady], [None, None])
    with pytest.raises(FeatureCollapseError, match=r"layers: \[0.49\d, 1.0\]"):
        for _ in range(100):
            guard([0 * falling, steady], [None, None])


@pytest.mark.filterwarnings("ignore:PlainEncoder")
def test_padding_and_resuming_change_nothing(speech):
    model = Toy()
    mal, again = (ModelAsLoss(model.encoder) for _ in range(2))
    train_step(mal, speech)
    again.load_state_dict(mal.state_dict())
    for each in (mal, again):
        shrink(each, model, 0.7)
        model.load_state_dict(Toy().state_dict())
    train_step(mal, speech)
    padded = torch.cat([speech, torch.zeros(4, 8000)], 1)
    train_step(again, padded, torch.full((4,), 0.75))
    variance = mal.guard.relative_variance.item()
    assert variance < 1
    assert again.guard.relative_variance.item() == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize("below", [-0.1, 1.0])
def test_limit_out_of_range(below):
    with pytest.raises(ValueError, match="collapse_below is in"):
        CollapseGuard(1, below)
