import pytest
import torch

from speechbrain_mal.losses import ModelAsLoss
from speechbrain_mal.watch import (
    CollapseGuard,
    FeatureCollapseError,
    variance_over_time,
)


def shrink(encoder, factor):
    """Scale what the embedding GRU makes, and so the features' spread."""
    with torch.no_grad():
        encoder.emb_gru.linear_in[0].weight.mul_(factor)


def train_step(mal, speech):
    mal((speech + 0.01).requires_grad_(), speech)


def test_variance_is_each_clips_own():
    x = torch.randn(2, 30, 4, 3)
    clips = [x[:1], x[1:, :20]]
    alone = torch.stack([c.flatten(2).var(1, unbiased=False).mean() for c in clips])
    together = variance_over_time(x, torch.tensor([30, 20]))
    torch.testing.assert_close(together, alone.mean())


def test_a_collapsing_encoder_stops_the_run(small_model, speech):
    mal = ModelAsLoss(small_model.encoder)
    for _ in range(3):
        train_step(mal, speech)
    assert mal.guard.relative_variance.item() == pytest.approx(1)
    with torch.no_grad():
        for parameter in small_model.encoder.emb_gru.parameters():
            parameter.zero_()
    mal.refresh()
    with pytest.raises(FeatureCollapseError, match="fallen to 0.1.*refresh: never"):
        for _ in range(200):
            train_step(mal, speech)


def test_no_guard_and_no_training_step(small_model, speech):
    mal = ModelAsLoss(small_model.encoder, collapse_below=0)
    mal(speech + 0.01, speech)  # validation: no gradient
    assert not mal.guard.reference.any()
    train_step(mal, speech)
    with torch.no_grad():
        for parameter in small_model.encoder.emb_gru.parameters():
            parameter.zero_()
    mal.refresh()
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


def test_padding_and_resuming_change_nothing(small_model, speech):
    mal = ModelAsLoss(small_model.encoder)
    train_step(mal, speech)
    again = ModelAsLoss(small_model.encoder)
    again.load_state_dict(mal.state_dict())
    shrink(small_model.encoder, 0.5)
    mal.refresh(), again.refresh()
    train_step(mal, speech)
    padded = torch.cat([speech, torch.zeros(4, 8000)], 1)
    enhanced = (padded + 0.01).requires_grad_()
    again(enhanced, padded, torch.full((4,), 0.75))
    assert mal.guard.relative_variance < 1
    expected = mal.guard.relative_variance.item()
    assert again.guard.relative_variance.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("below", [-0.1, 1.0])
def test_limit_out_of_range(small_model, below):
    with pytest.raises(ValueError, match="collapse_below is in"):
        ModelAsLoss(small_model.encoder, collapse_below=below)
