"""The code path of the hub's models, with tiny random ones saved to a folder."""

import importlib

import pytest
import torch
from tiny_networks import save_tiny

from speechbrain_mal.losses import DeepFeatureLoss
from speechbrain_mal.models import SelfSupervisedEncoder

KINDS = {"wavlm": "WavLM", "wav2vec2": "Wav2Vec2", "hubert": "HuBERT"}


@pytest.fixture(params=KINDS, scope="module")
def network(request, tmp_path_factory):
    """Return SpeechBrain's model, loaded from a folder."""
    name = {"HuBERT": "Hubert"}.get(KINDS[request.param], KINDS[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    save_tiny(name, folder)
    module = f"speechbrain.integrations.huggingface.{request.param}"
    cls = getattr(importlib.import_module(module), KINDS[request.param])
    return cls(str(folder), str(folder / "saved"), freeze=True)


def test_last_convolution_is_the_default(network, speech):
    encoder = SelfSupervisedEncoder(network)
    features = encoder(speech).stages
    assert [x.shape[2] for x in features] == [16, 16, 16]
    # What the network itself makes of the clip, before its transformer.
    normal = torch.nn.functional.layer_norm(speech, speech.shape[1:])
    expected = network.model.feature_extractor(normal).transpose(1, 2)
    torch.testing.assert_close(features[-1], expected)


def test_any_layer_on_request(network, speech):
    encoder = SelfSupervisedEncoder(network, transformer=True)
    features = encoder(speech).stages
    assert [x.shape[2] for x in features] == [16] * 3 + [32] * 3
    torch.testing.assert_close(features[-1], network(speech))
    loss = DeepFeatureLoss(encoder, layers=[2, 3, 5], normalize=True)
    assert loss(speech + 0.01, speech) > 0


def test_frozen_and_differentiable_at_48_khz(network, speech):
    encoder = SelfSupervisedEncoder(network, sample_rate=48000)
    loss = DeepFeatureLoss(encoder)
    loss.train()
    assert not any(module.training for module in encoder.modules())
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    enhanced = (speech + 0.01).requires_grad_()
    value = loss(enhanced, speech, torch.tensor([1.0, 1.0, 0.8, 0.6]))
    value.backward()
    assert torch.isfinite(enhanced.grad).all() and enhanced.grad.abs().max() > 0
    assert all(p.grad is None for p in encoder.parameters())
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert loss(speech, speech) == 0
    # A third of the frames: the same second of speech, three times the samples.
    assert (
        encoder(speech).stages[-1].shape[1]
        < SelfSupervisedEncoder(network)(speech)[-1].shape[1] / 2.5
    )


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match="network is a Linear.*WavLM, Wav2Vec2"):
        SelfSupervisedEncoder(torch.nn.Linear(1, 1))
