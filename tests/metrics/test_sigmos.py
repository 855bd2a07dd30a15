import concurrent.futures
import multiprocessing

import numpy as np
import pytest
import torch
from onnx import helper
from scipy.signal import resample
from tiny_onnx import save_onnx

from speechbrain_mal.metrics import sigmos as module
from speechbrain_mal.metrics.sigmos import sigmos

RATE = 48000
NAMES = ["col", "disc", "loud", "noise", "reverb", "sig", "ovrl"]


@pytest.fixture(scope="module")
def matrix():
    return np.random.default_rng(0).normal(0, 0.1, (3 * 481, 7)).astype("float32")


@pytest.fixture(scope="module")
def weights(tmp_path_factory, matrix):
    """A network of SIGMOS's input and output: mean over time, then a matrix."""
    path = tmp_path_factory.mktemp("sigmos") / "sigmos.onnx"
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["output"]),
    ]
    inputs = {"input": [None, 3, None, 481]}
    return save_onnx(path, nodes, inputs, {"output": [None, 7]}, {"matrix": matrix})


@pytest.fixture
def clip(samples):
    return resample(samples[0].noisy, 3 * len(samples[0].noisy)).astype("float32")


def expected_features(clip):
    """Return the features by torch's STFT, `[3, frames, 481]`."""
    clip = torch.from_numpy(np.pad(clip, (0, -len(clip) % 480))).double()
    window = torch.hann_window(960, dtype=torch.double).sqrt()
    spectrum = torch.stft(
        clip, 960, 480, window=window, pad_mode="constant", return_complex=True
    ).T
    magnitude = spectrum.abs().clamp_min(1e-6) ** 0.3
    phase = spectrum / spectrum.abs().clamp_min(1e-6)
    return torch.stack([magnitude, magnitude * phase.real, magnitude * phase.imag])


@pytest.mark.parametrize("cut", [0, 1, 479])
def test_features_are_the_compressed_spectrum(clip, cut):
    clip = clip[: 480 * 100 - cut]
    features = module._features(clip)
    assert features.shape == (1, 3, 101, 481)
    np.testing.assert_allclose(
        features[0], expected_features(clip), atol=1e-5
    )  # 32 bit


def test_scores_have_the_names_of_the_outputs(clip, weights, matrix):
    scores = sigmos(clip, None, RATE, weights=weights, peak_db=None)
    assert [*scores] == [f"sigmos_{name}" for name in NAMES]
    expected = expected_features(clip).mean(1).reshape(-1).numpy() @ matrix
    assert [*scores.values()] == pytest.approx(expected, abs=1e-4)  # float32


def test_one_peak_level(clip, weights):
    scores = sigmos(clip, None, RATE, weights=weights)
    # float32 features
    assert sigmos(0.1 * clip, None, RATE, weights=weights) == pytest.approx(
        scores, abs=1e-3
    )
    loud = clip * (10 ** (-10 / 20) / np.abs(clip).max())
    assert scores == pytest.approx(
        sigmos(loud, None, RATE, weights=weights, peak_db=None), abs=1e-3
    )
    raw = sigmos(0.1 * clip, None, RATE, weights=weights, peak_db=None)
    assert raw != pytest.approx(scores, abs=0.01)


def test_lower_rates_are_resampled_by_fourier(samples, clip, weights):
    scores = sigmos(samples[0].noisy, None, 16000, weights=weights)
    # float32 or 64 before the spectrum, whose zeros above 8 kHz are compressed
    assert scores == pytest.approx(sigmos(clip, None, RATE, weights=weights), abs=1e-2)


def test_lengths(clip, weights):
    with pytest.raises(ValueError, match="SIGMOS: the enhanced clip is silent"):
        sigmos(0 * clip, None, RATE, weights=weights)
    for samples_in in (480, 14 * 480):  # 10 ms, and 15 frames
        with pytest.raises(ValueError, match="SIGMOS: 0.*s are too short, 0.15 are"):
            sigmos(clip[:samples_in], None, RATE, weights=weights)
    assert sigmos(clip[: 14 * 480 + 1], None, RATE, weights=weights)


@pytest.mark.slow
def test_ten_minutes(clip, weights):
    clip = np.tile(clip[:RATE], 600)
    scores = sigmos(clip, None, RATE, weights=weights)
    # but for the frames at both ends
    assert scores == pytest.approx(
        sigmos(clip[: 60 * RATE], None, RATE, weights=weights), abs=0.01
    )


def test_another_network_is_refused(clip, tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["output"], axes=[2, 3], keepdims=0)
    ]
    inputs = {"input": [None, 3, None, 481]}
    path = save_onnx(tmp_path / "a.onnx", nodes, inputs, {"output": [None, 3]}, {})
    with pytest.raises(ValueError, match="shorter than"):
        sigmos(clip, None, RATE, weights=path)


def test_without_the_file(clip, tmp_path):
    with pytest.raises(FileNotFoundError, match="SIGMOS: no weights at .*none.onnx"):
        sigmos(clip, None, RATE, weights=tmp_path / "none.onnx")


def test_forked_processes_change_nothing(clip, weights):
    expected = sigmos(clip, None, RATE, weights=weights)
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        job = pool.submit(sigmos, clip, None, RATE, weights=weights)
        assert job.result(timeout=120) == expected
