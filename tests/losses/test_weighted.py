import pytest
import torch
from torch import nn

from speechbrain_mal.losses import AuxiliaryLoss, WeightedLoss


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


ones, zeros = torch.ones(2, 8), torch.zeros(2, 8)


def test_added_terms_wait_for_phase_two():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": added(5.0, balance="coefficient")})
    assert loss.terms(ones, zeros).keys() == {"a"}
    assert loss(ones, zeros) == 2
    loss.start_phase_two()
    assert loss(ones, zeros) == 7


def test_equal_magnitude_scales_once_per_phase():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": added(0.1, weight=0.5)})
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 2)
    loss.added["b"].loss.factor = 0.2  # the term doubles, its scale stays
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 4)
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 2)


def test_scale_is_positive_where_the_loss_is_in_db():
    loss = WeightedLoss({"si_snr": Scaled(-12.0)}, {"b": added(0.1)})
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(-12 + 12)
    loss.added["b"].loss.factor = 0.2  # a larger term is a larger loss
    assert loss(ones, zeros).item() == pytest.approx(-12 + 24)


def test_several_added_terms_are_each_as_large():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": added(0.1), "c": added(30.0)})
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(6)


def test_scale_and_phase_are_in_the_state_dict():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": added(0.1)})
    loss.start_phase_two()
    loss(ones, zeros)
    other = WeightedLoss({"a": Scaled(2.0)}, {"b": added(7.0)})
    other.load_state_dict(loss.state_dict())
    assert other.phase_two and torch.equal(
        other.added["b"].scale, loss.added["b"].scale
    )


def test_terms_get_the_inputs_they_name():
    loss = WeightedLoss({"a": Scaled(1.0), "n": WithNoise(1.0)}, weights={"n": 0.5})
    outputs = {"noisy": 3 * ones, "local_snr": ones, "unused": ones}
    assert loss(ones, zeros, None, outputs) == 1 + 0.5 * 6
    # What the model does not put out is None.
    assert loss(ones, zeros, None, {"noisy": 3 * ones}) == 1 + 0.5 * 3


def test_functions_are_terms():
    loss = WeightedLoss({"l1": lambda enhanced, clean, lengths: enhanced.mean()})
    assert loss(ones, zeros) == 1


def test_errors_say_what_to_change():
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
