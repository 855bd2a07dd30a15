import pytest
import torch
from torch import nn

from speechbrain_mal.contracts import PlainEncoder
from speechbrain_mal.losses import DeepFeatureLoss, ModelAsLoss
from speechbrain_mal.models import InputFeatures


class LogSpectrum(nn.Module):
    """Takes no lengths, so padded clips have to come one by one."""

    def forward(self, waveforms):
        window = torch.hann_window(256)
        spectrum = torch.stft(waveforms, 256, window=window, return_complex=True)
        return spectrum.abs().add(1e-3).log().transpose(1, 2)


@pytest.fixture(params=["input features", "plain"])
def encoder(request, small_model):
    if request.param == "plain":
        return PlainEncoder(LogSpectrum())
    return InputFeatures(small_model.encoder.front_end)


@pytest.mark.parametrize("distance", ["l1", "mse"])
@pytest.mark.parametrize("normalize", [False, True])
def test_padding_never_changes_the_value(encoder, speech, distance, normalize):
    torch.manual_seed(0)
    loss = DeepFeatureLoss(encoder, distance=distance, normalize=normalize)
    samples = [24000, 16000, 8000]
    clean = speech[:3].clone()
    enhanced = clean + 0.1 * torch.randn_like(clean)
    for i, n in enumerate(samples):
        clean[i, n:] = 0
        enhanced[i, n:] = float("nan")
    lengths = torch.tensor(samples) / 24000
    tight = loss(enhanced, clean, lengths)
    pad = torch.full((3, 6000), float("inf"))
    loose = loss(
        torch.cat([enhanced, pad], 1), torch.cat([clean, pad], 1), lengths / 1.25
    )
    torch.testing.assert_close(loose, tight, rtol=1e-5, atol=1e-8)
    if not normalize:
        alone = [
            loss(enhanced[i : i + 1, :n], clean[i : i + 1, :n])
            for i, n in enumerate(samples)
        ]
        torch.testing.assert_close(tight, torch.stack(alone).mean())


def test_squared_distance_by_hand(encoder, speech):
    noisy = speech + 0.01
    a, b = encoder(noisy).stages[-1], encoder(speech).stages[-1]
    value = DeepFeatureLoss(encoder, distance="mse")(noisy, speech)
    torch.testing.assert_close(value, (a - b).square().mean())


@pytest.mark.parametrize("distance", ["l1", "mse"])
def test_normalized_layers_weigh_alike_at_any_scale(speech, distance):
    class Scaled(nn.Module):
        def __init__(self, *factors):
            super().__init__()
            self.factors = factors

        def forward(self, waveforms):
            return [f * LogSpectrum()(waveforms) for f in self.factors]

    noisy = speech + 0.01
    arguments = {"layers": [0, 1], "distance": distance}
    values = [
        DeepFeatureLoss(PlainEncoder(Scaled(*factors)), normalize=True, **arguments)(
            noisy, speech
        )
        for factors in ((1.0, 1.0), (1000.0, 0.01))
    ]
    torch.testing.assert_close(*values)
    loud = PlainEncoder(Scaled(1000.0, 0.01))
    plain = DeepFeatureLoss(loud, **arguments)(noisy, speech)
    assert plain > 100 * values[0]  # where the loud layer is all there is


def test_silence_is_no_division_by_zero(small_model):
    features = InputFeatures(small_model.encoder.front_end)
    loss = DeepFeatureLoss(features, layers=[0, 1], normalize=True)
    enhanced = torch.zeros(1, 8000, requires_grad=True)
    value = loss(enhanced, torch.zeros(1, 8000))
    value.backward()
    assert value == 0
    assert torch.isfinite(enhanced.grad).all()


def test_grows_as_snr_falls(encoder, speech):
    torch.manual_seed(0)
    noise = torch.randn_like(speech)
    noise *= (speech.square().mean(1) / noise.square().mean(1)).sqrt()[:, None]
    loss = DeepFeatureLoss(encoder)
    values = [loss(speech + noise * 10 ** (-snr / 20), speech) for snr in (30, 20, 10)]
    assert values[0] < values[1] < values[2]


def test_network_gets_no_gradient_and_never_moves(small_model, speech):
    encoder = small_model.encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    loss = DeepFeatureLoss(encoder)
    loss.train()
    enhanced = (speech + 0.01).requires_grad_()
    loss(enhanced, speech).backward()
    assert enhanced.grad.abs().max() > 0
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())
    after = encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("loss_class", [DeepFeatureLoss, ModelAsLoss])
def test_features_without_a_time_axis_are_refused(loss_class, speech):
    class Pooled(nn.Module):
        def forward(self, waveforms):
            return LogSpectrum()(waveforms).mean(1)

    class Random(nn.Module):
        calls = 0

        def forward(self, waveforms):
            Random.calls += 1
            return LogSpectrum()(waveforms)[:, Random.calls :]

    for encoder in (Pooled(), Random()):
        with pytest.raises(ValueError, match=r"stage -1 .* have to be \[B, T, ...\]"):
            loss_class(PlainEncoder(encoder))(speech, speech)


def test_unknown_distance_is_named():
    with pytest.raises(ValueError, match="'l1' or 'mse', not 'l2'"):
        DeepFeatureLoss(PlainEncoder(LogSpectrum()), distance="l2")


@pytest.mark.parametrize("loss_class", [DeepFeatureLoss, ModelAsLoss])
def test_mistakes_are_named(loss_class, speech):
    class Single(LogSpectrum):
        def forward(self, waveforms):
            return [super().forward(waveforms)]

    for wrong in (None, LogSpectrum()):
        with pytest.raises(TypeError, match=r"not an Encoder.*PlainEncoder\(network\)"):
            loss_class(wrong)
    with pytest.raises(TypeError, match="network is a NoneType"):
        PlainEncoder(None)
    for layers in ([], ["conv1"], "conv1", -1, None):
        with pytest.raises(ValueError, match=r"layers is a list of indices.*not "):
            loss_class(PlainEncoder(LogSpectrum()), layers=layers)
    with pytest.raises(IndexError, match=r"layers \[1\]: the encoder returns 1 stage"):
        loss_class(PlainEncoder(Single()), layers=[1])(speech, speech)
    with pytest.raises(ValueError, match=r"\[4, 23999\] and clean \[4, 24000\].*Cut"):
        loss_class(PlainEncoder(LogSpectrum()))(speech[:, :-1], speech)
    with pytest.raises(ValueError, match=r"have to be \[B, samples\]"):
        loss_class(PlainEncoder(LogSpectrum()))(speech[..., None], speech[..., None])
