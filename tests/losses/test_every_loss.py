"""What holds for every loss: padding, silence, noise, autocast, where gradients go."""

import pytest
import torch
from torch import nn
from toy_enhancer import noisy_at

from speechbrain_mal.contracts import PlainEncoder
from speechbrain_mal.losses import (
    DeepFeatureLoss,
    DeepFilterNetLoss,
    ModelAsLoss,
    PESQLoss,
    SNRLoss,
    STOILoss,
)
from speechbrain_mal.models import InputFeatures


class Mixing(nn.Module):
    """No lengths, one tensor, mixes the whole clip, has an RNN with dropout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 8, stride=4)
        self.norm = nn.BatchNorm1d(4)
        self.rnn = nn.LSTM(4, 4, 2, batch_first=True, dropout=0.5, bidirectional=True)

    def forward(self, waveforms):
        features = self.norm(self.conv(waveforms[:, None])).transpose(1, 2)
        return self.rnn(features - features.mean(1, keepdim=True))[0]


def mixing(**options):
    torch.manual_seed(0)
    return ModelAsLoss(PlainEncoder(Mixing()), **options)


def filter_bank(model, **options):
    bank = InputFeatures(model.encoder.front_end)
    return DeepFeatureLoss(bank, layers=[0, 1], **options)


squared, relative = {"distance": "mse"}, {"normalize": True}
LOSSES = {
    "filter bank": filter_bank,
    "filter bank, squared": lambda model: filter_bank(model, **squared),
    "filter bank, relative": lambda model: filter_bank(model, **relative),
    "own encoder": lambda model: ModelAsLoss(model.encoder),
    "own layers, relative": lambda model: ModelAsLoss(
        model.encoder, layers=range(7), **squared, **relative
    ),
    "any encoder": lambda model: mixing(),
    "any encoder, relative": lambda model: mixing(**relative),
    "L_df": lambda model: DeepFilterNetLoss(model.encoder.front_end, local_snr=1.0),
    "PESQ": lambda model: PESQLoss(),
    "STOI": lambda model: STOILoss(),
    "SNR": lambda model: SNRLoss(),
}


@pytest.fixture(params=LOSSES)
def loss(request, small_model):
    loss = LOSSES[request.param](small_model)
    loss.name = request.param
    return loss


def value(loss, enhanced, clean, lengths=None):
    """Return the loss with whatever it takes besides."""
    further = {}
    if hasattr(loss, "inputs"):
        frames = loss.front_end.frames(clean.shape[1])
        further = {
            "noisy": enhanced,
            "local_snr": torch.full((len(clean), frames), 3.0),
        }
    return loss(enhanced, clean, lengths, **further)


@pytest.mark.filterwarnings("ignore:PlainEncoder")  # it says what padding costs
def test_padding_never_changes_the_value(loss, speech):
    samples = [24000, 16001, 9999]
    clean, enhanced = speech[:3].clone(), noisy_at(speech[:3], 10)
    alone = [
        value(loss, enhanced[i : i + 1, :n], clean[i : i + 1, :n])
        for i, n in enumerate(samples)
    ]
    for i, n in enumerate(samples):
        clean[i, n:] = 0
        enhanced[i, n:] = float("nan")  # whatever an enhancer leaves there
    tight = value(loss, enhanced, clean, torch.tensor(samples) / 24000)
    longer = [
        nn.functional.pad(x, (0, 6000), value=torch.inf) for x in (enhanced, clean)
    ]
    loose = value(loss, *longer, torch.tensor(samples) / 30000)
    # float32 sums in another order
    torch.testing.assert_close(loose, tight, rtol=1e-5, atol=1e-8)
    if "relative" not in loss.name:  # a ratio of two means over the clips
        mean = torch.stack(alone).mean()
        torch.testing.assert_close(tight, mean, rtol=1e-5, atol=1e-8)


def test_loss_grows_as_snr_falls_from_a_perfect_estimate(loss, speech):
    perfect, *values = (
        loss(enhanced, speech).item()
        for enhanced in (speech, *(noisy_at(speech, snr) for snr in (30, 20, 10, 0)))
    )
    assert values == sorted(values) and values[0] > perfect
    if loss.name == "STOI":
        assert abs(perfect) < 1e-3  # its normalisations have an epsilon
    elif loss.name not in ("PESQ", "SNR"):  # which have a floor
        assert perfect == 0


def test_gradients_are_finite_and_reach_the_enhanced_speech_alone(loss, speech):
    clean, enhanced = speech.clone(), noisy_at(speech, 10)
    clean[:, 8000:] = 0  # a second of digital silence
    clean[3] = 0
    enhanced[0] = clean[0]  # nothing differs
    enhanced[1, 8000:] = 0
    enhanced[2] = 0
    enhanced.requires_grad_()
    loss(enhanced, clean).backward()
    assert enhanced.grad.isfinite().all()
    assert enhanced.grad[1].abs().max() > 0
    assert all(weight.grad is None for weight in loss.parameters())


def test_float32_inside_autocast(loss, speech):
    noisy = noisy_at(speech, 10).bfloat16().float()
    outside = loss(noisy, speech)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for enhanced in (noisy, noisy.bfloat16()):
            inside = loss(enhanced, speech)
            assert inside.dtype == torch.float32
            assert inside == outside
