"""The model for inference computes what the model does."""

import pytest
import torch

from speechbrain_mal.inference import fold
from speechbrain_mal.inference.folding import InferenceGRU
from speechbrain_mal.models.gru import GRU

ROUNDING = 2e-6  # of values below 1, after some dozen steps of single precision


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("frames", [1, 2, 50])
def test_gru_continues_from_its_state(batch, frames):
    torch.manual_seed(0)
    gru = GRU(12, 20, num_layers=2)
    x, state = torch.randn(batch, frames, 12), torch.randn(2, batch, 20)
    with torch.inference_mode():
        actual, expected = InferenceGRU(gru)(x, state), gru(x, state)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=ROUNDING)


def test_gru_starts_from_zeros_and_leaves_its_state_alone():
    gru = GRU(12, 20)
    x, state = torch.randn(1, 10, 12), torch.zeros(1, 1, 20)
    fast = InferenceGRU(gru)
    with torch.inference_mode():
        torch.testing.assert_close(fast(x)[0], fast(x, state)[0], rtol=0, atol=0)
    assert state.count_nonzero() == 0


def test_fold_shares_the_large_weights_and_leaves_the_model_alone(small_model):
    small_model.eval()
    before = {name: value.clone() for name, value in small_model.state_dict().items()}
    folded = fold(small_model)
    assert folded.erb_dec.emb_gru.gru.gru.weight_hh_l0 is (
        small_model.erb_dec.emb_gru.gru.weight_hh_l0
    )
    assert all(torch.equal(before[k], v) for k, v in small_model.state_dict().items())
    assert isinstance(small_model.erb_dec.emb_gru.gru, GRU)


def test_fold_of_a_model_in_training_is_an_error(small_model):
    with pytest.raises(ValueError, match=r"eval\(\)"):
        fold(small_model.train())


@pytest.mark.parametrize("frames", [1, 7, 1000])
def test_frames_of_a_block_change_nothing(small_model, frames):
    model = small_model.eval()
    noisy = 0.1 * torch.randn(2, 4037, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([1.0, 0.6])
    noisy[1, round(0.6 * 4037) :] = 0
    with torch.inference_mode():
        folded, expected = fold(model), model(noisy, lengths)
        folded.block_frames = frames
        torch.testing.assert_close(
            folded(noisy, lengths), expected, rtol=0, atol=ROUNDING
        )
