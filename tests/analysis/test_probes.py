"""The probes pass for a trained model's encoder on speech, and fail where they must."""

import pytest
import soundfile as sf
import torch

from speechbrain_mal import DeepFilterNet2, ModelAsLoss
from speechbrain_mal.analysis.probes import distances_by_snr, rand_index

WEIGHTS = "recipes/VoiceBank/minibank_baseline/CKPT+epoch25/enhancer.ckpt"


@pytest.fixture(scope="module")
def encoder(pytestconfig):
    """Return the trained baseline's encoder."""
    model = DeepFilterNet2(16000, channels=16, embedding_size=64, df_hidden_size=64)
    path = pytestconfig.rootpath / WEIGHTS
    model.load_state_dict(torch.load(path, "cpu", weights_only=True))
    return model.eval().encoder


@pytest.fixture(scope="module")
def clips(pytestconfig):
    """Return synthetic speech of three clips, 1.5 s each."""
    folder = pytestconfig.rootpath / "samples/voicebank/clean_testset_wav_16k"
    paths = sorted(folder.iterdir())
    audio = [sf.read(path, dtype="float32")[0] for path in paths]
    audio = [torch.from_numpy(a[:24000]) for a in audio if len(a) >= 24000]
    return torch.stack(audio[:3])


def test_distance_grows_as_snr_falls(encoder, clips):
    torch.manual_seed(0)
    noise = torch.randn_like(clips)
    snrs = [30, 20, 10, 0, -10]
    distances = distances_by_snr(ModelAsLoss(encoder), clips, noise, snrs)
    assert (distances.diff() > 0).all()


def test_snr_is_the_snr(clips):
    noise = 3.0 * torch.randn_like(clips)

    def snr(noisy, clean):
        power = (noisy - clean).square().mean(1)
        return 10 * torch.log10(clean.square().mean(1) / power).mean()

    measured = distances_by_snr(snr, clips, noise, snrs=[20, 0])
    torch.testing.assert_close(measured, torch.tensor([20.0, 0.0]), atol=1e-2, rtol=0)


def test_repetitions_of_a_sound_cluster(encoder, clips):
    torch.manual_seed(0)
    sounds = torch.arange(len(clips)).repeat(4)
    waveforms = clips.repeat(4, 1)
    waveforms = waveforms + 0.003 * torch.randn_like(waveforms)
    assert rand_index(encoder, waveforms, sounds) == 1.0
    assert rand_index(encoder, waveforms, sounds.sort().values) < 1.0  # wrong labels


def test_labels_have_to_fit(encoder, clips):
    with pytest.raises(ValueError, match="2 labels of 2 sound"):
        rand_index(encoder, clips, [0, 1])
    with pytest.raises(ValueError, match="1 sound"):
        rand_index(encoder, clips, [0, 0, 0])
