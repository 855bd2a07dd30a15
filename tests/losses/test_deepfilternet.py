"""`DeepFilterNetLoss` against the public package's loss on the same clips.

`tests/models/make_golden.py` wrote the package's values.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from speechbrain_mal.losses import DeepFilterNetLoss
from speechbrain_mal.models.frontend import FrontEnd

GOLDEN = Path(__file__).parents[1] / "models" / "golden_loss.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def make_loss(**terms):
    off = {"spectral": (0.0, 0.0), "multi_resolution": (0.0, 0.0), "local_snr": 0.0}
    return DeepFilterNetLoss(FrontEnd(16000, 320, 160), **{**off, **terms})


def test_spectral_term(golden):
    loss = make_loss(spectral=(1000.0, 1000.0))
    value = loss(golden["enhanced"], golden["clean"])
    # Single precision; the package takes phases by atan2, sin and cos.
    torch.testing.assert_close(value, golden["spectral"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("n_fft", [256, 512, 1024])
def test_multi_resolution_term(golden, n_fft):
    loss = make_loss(multi_resolution=(500.0, 500.0), n_ffts=(n_fft,))
    value = loss(golden["enhanced"], golden["clean"])
    # The package's waveform is longer, by zeros that add frames without error.
    frames = golden["clean"].shape[1] // (n_fft // 4) + 1
    expected = golden[f"mrsl_{n_fft}"] * golden[f"mrsl_frames_{n_fft}"] / frames
    # The package resynthesizes first: its rounding errors, compressed by the exponent
    # 0.3, show where the clips are next to silent.
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=0)


def test_local_snr_term(golden):
    loss, clean, noisy = make_loss(local_snr=1e-3), golden["clean"], golden["noisy"]
    target = loss.local_snr_target(
        *map(loss.front_end.analysis, (clean, noisy - clean))
    )
    # In dB; the clips' silence is the floor of -16 dB in both.
    torch.testing.assert_close(target, golden["lsnr_target"], rtol=0, atol=1e-3)
    estimate = golden["lsnr_estimate"]
    value = loss(golden["enhanced"], clean, noisy=noisy, local_snr=estimate)
    torch.testing.assert_close(value, golden["lsnr"], rtol=1e-5, atol=0)


def test_local_snr_target_of_known_mixtures():
    loss = make_loss()
    torch.manual_seed(0)
    clean, noise = (loss.front_end.analysis(torch.randn(1, 160000)) for _ in range(2))
    for snr_db in (-10.0, 0.0, 20.0):
        target = loss.local_snr_target(clean, 10 ** (-snr_db / 20) * noise)
        # The package weighs noise energy with (0, 3/4, 3/4) / 3, half of a mean: +3 dB.
        assert abs(target[:, 5:-5].mean() - snr_db - 3.0) < 0.1
    assert loss.local_snr_target(clean, 0 * noise).max() == 36
    assert loss.local_snr_target(0 * clean, noise).min() == -16
