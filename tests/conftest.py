"""Fixtures that several test files share."""

from pathlib import Path

import pytest
import soundfile
import torch

from speechbrain_mal.models import DeepFilterNet2

# The models are tiny: threads would cost more than they give, in every process.
torch.set_num_threads(1)

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples" / "voicebank"


@pytest.fixture
def small_model() -> DeepFilterNet2:
    """Return a DeepFilterNet2 with few channels, with seeded weights and statistics."""
    torch.manual_seed(0)
    model = DeepFilterNet2(16000, channels=8, embedding_size=32, df_hidden_size=32)
    with torch.no_grad():  # fresh BatchNorm statistics would hide what moves them
        model.train()(0.1 * torch.randn(2, 8000))
    return model


@pytest.fixture(scope="session")
def speech() -> torch.Tensor:
    """Return 1.5 s each of four clean clips of the sample corpus, `[4, 24000]`."""
    files = sorted((SAMPLES / "clean_trainset_28spk_wav_16k").glob("*.flac"))[:4]
    clips = [soundfile.read(file, dtype="float32")[0][:24000] for file in files]
    return torch.stack([torch.from_numpy(clip) for clip in clips])
