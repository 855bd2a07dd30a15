import pytest
import torch
from torch import nn

from speechbrain_mal.losses import WeightedLoss


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, enhanced, clean, lengths=None):
        return self.factor * (enhanced - clean).abs().mean()


class WithNoise(Scaled):
    def forward(self, enhanced, clean, lengths, noisy, local_snr):
        return self.factor * noisy.mean() * local_snr.mean()


ones, zeros = torch.ones(2, 8), torch.zeros(2, 8)


def test_added_terms_wait_for_phase_two():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": Scaled(5.0)}, balance="coefficient")
    assert loss.terms(ones, zeros).keys() == {"a"}
    assert loss(ones, zeros) == 2
    loss.start_phase_two()
    assert loss(ones, zeros) == 7


def test_equal_magnitude_scales_once_per_phase():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": Scaled(0.1)}, weights={"b": 0.5})
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 2)
    loss.added["b"].factor = 0.2  # the term doubles, its scale stays
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 4)
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(2 + 0.5 * 2)


def test_scale_is_positive_where_the_loss_is_in_db():
    loss = WeightedLoss({"si_snr": Scaled(-12.0)}, {"b": Scaled(0.1)})
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(-12 + 12)
    loss.added["b"].factor = 0.2  # a larger term is a larger loss
    assert loss(ones, zeros).item() == pytest.approx(-12 + 24)


def test_several_added_terms_are_each_as_large():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": Scaled(0.1), "c": Scaled(30.0)})
    loss.start_phase_two()
    assert loss(ones, zeros).item() == pytest.approx(6)


def test_scale_and_phase_are_in_the_state_dict():
    loss = WeightedLoss({"a": Scaled(2.0)}, {"b": Scaled(0.1)})
    loss.start_phase_two()
    loss(ones, zeros)
    other = WeightedLoss({"a": Scaled(2.0)}, {"b": Scaled(7.0)})
    other.load_state_dict(loss.state_dict())
    assert other.phase_two and other.scales == loss.scales


def test_terms_get_the_arguments_they_name():
    loss = WeightedLoss({"a": Scaled(1.0), "n": WithNoise(1.0)})
    assert loss.auxiliary == {"local_snr"}
    value = loss(ones, zeros, None, noisy=3 * ones, local_snr=2 * ones, unused=ones)
    assert value == 1 + 6


def test_errors_say_what_to_change():
    with pytest.raises(ValueError, match=r"weights names \['c'\].*\['a', 'b'\]"):
        WeightedLoss({"a": Scaled(1)}, {"b": Scaled(1)}, weights={"c": 1})
    with pytest.raises(ValueError, match="one name each"):
        WeightedLoss({"a": Scaled(1)}, {"a": Scaled(1)})
    with pytest.raises(ValueError, match="'magnitude' or 'coefficient'"):
        WeightedLoss({"a": Scaled(1)}, balance="equal")
    loss = WeightedLoss({"a": Scaled(1)}, {"b": Scaled(0)})
    loss.start_phase_two()
    with pytest.raises(ValueError, match="'b' is 0.0.*balance: coefficient"):
        loss(ones, zeros)
    loss = WeightedLoss({"a": Scaled(0)}, {"b": Scaled(1)})
    loss.start_phase_two()
    with pytest.raises(ValueError, match="conventional loss is 0.0.*no scale"):
        loss(ones, zeros)
