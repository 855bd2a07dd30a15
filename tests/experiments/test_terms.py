"""Terms of the decisive experiment do what their names say."""

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.nnet.losses import l1_loss
from torch import nn

from experiments.terms import (
    OverSuppression,
    RelativeToNoisy,
    WhisperFeatures,
    calibrated,
)
from speechbrain_mal import DeepFilterNet2, ModelAsLoss
from speechbrain_mal.losses import AuxiliaryLoss, WeightedLoss


def small_encoder():
    torch.manual_seed(0)
    options = {"channels": 8, "embedding_size": 32, "df_hidden_size": 32}
    return DeepFilterNet2(16000, **options).encoder


def test_a_calibrated_encoder_tells_inputs_apart(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.flac", 0.1 * rng.normal(size=20000), 16000)
    speech = torch.from_numpy(0.1 * rng.normal(size=(1, 16000))).float()

    def difference(encoder):
        with torch.no_grad():
            a, b = (encoder.eval()(x).stages[-1] for x in (speech, 0 * speech))
        return (a - b).abs().mean()

    raw = difference(small_encoder())
    assert difference(calibrated(small_encoder(), tmp_path)) > 10 * raw


def test_relative_distances_weigh_every_clip_alike():
    encoder = small_encoder()
    clean, noise = 0.1 * torch.randn(2, 8000), torch.randn(2, 8000)
    noisy = clean + torch.tensor([[0.01], [1.0]]) * noise
    added = AuxiliaryLoss(RelativeToNoisy(encoder), balance="coefficient")
    loss = WeightedLoss({"l1": l1_loss}, {"relative": added})
    loss.start_phase_two()
    loss.at(epoch=1, step=0)

    def relative(enhanced, clean, noisy, lengths=None):
        return loss.terms(enhanced, clean, lengths, {"noisy": noisy})["relative"]

    assert relative(clean, clean, noisy) == 0
    assert relative(noisy, clean, noisy).item() == pytest.approx(1, rel=0.02)
    padded = (torch.cat([x, torch.ones(2, 800)], 1) for x in (noisy, clean, noisy))
    value = relative(*padded, torch.full((2,), 8000 / 8800))
    assert value.item() == pytest.approx(relative(noisy, clean, noisy).item(), rel=1e-3)
    half = torch.stack([clean[0], noisy[1]])  # one of two clips is clean
    assert relative(half, clean, noisy).item() == pytest.approx(0.5, rel=0.02)
    assert ModelAsLoss(encoder)(half, clean) > 0.9 * ModelAsLoss(encoder)(noisy, clean)


def test_only_too_little_is_punished():
    loss = OverSuppression(small_encoder().front_end)
    clean = 0.1 * torch.randn(2, 8000)
    assert loss(2 * clean, clean) == loss(clean, clean) == 0 < loss(clean / 2, clean)
    padded = torch.cat([clean, torch.ones(2, 800)], 1)
    whole = loss(clean / 2, clean, torch.ones(2))
    part = loss(padded / 2, padded, torch.full((2,), 8000 / 8800))
    assert part.item() == pytest.approx(whole.item(), rel=1e-5)


def test_whisper_is_that_of_transformers():
    whisper = pytest.importorskip("transformers.models.whisper.modeling_whisper")
    sizes = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2}
    sizes |= {"num_mel_bins": 8, "max_source_positions": 50, "encoder_ffn_dim": 16}
    network, encoder = (
        nn.Module(),
        whisper.WhisperEncoder(whisper.WhisperConfig(**sizes)),
    )
    network.model, network._mel_filters = nn.Module(), torch.rand(8, 201)
    network.model.encoder = encoder.eval()
    features = WhisperFeatures(network)
    speech = torch.randn(2, 16000)
    window = torch.hann_window(400)
    spectrum = torch.stft(speech, 400, 160, window=window, return_complex=True)
    mel = (network._mel_filters @ spectrum[..., :-1].abs() ** 2).log10()
    mel = torch.stack([(torch.maximum(x, x.max() - 8) + 4) / 4 for x in mel])
    stages = features.stages(speech)
    assert torch.allclose(stages[-1], encoder(mel).last_hidden_state, atol=1e-5)
    assert [list(x.shape) for x in stages] == [[2, 100, 16], *[[2, 50, 16]] * 4]
    assert features.stages(speech[:, :8000])[-1].shape == (2, 25, 16)
