import concurrent.futures
import multiprocessing
from urllib.error import URLError

import numpy as np
import pytest
from onnx import helper
from scipy.signal import resample_poly
from tiny_onnx import save_onnx

from speechbrain_mal.metrics.scoreq import scoreq, scoreq_ref

RATE = 16000


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network of ScoreQ's input and output: the mean of the samples' magnitudes."""
    path = tmp_path_factory.mktemp("scoreq") / "scoreq.onnx"
    nodes = [
        helper.make_node("Abs", ["waveform"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude"], ["mos"], axes=[1]),
    ]
    inputs, outputs = {"waveform": [None, None]}, {"mos": [None, 1]}
    return save_onnx(path, nodes, inputs, outputs, {})


@pytest.fixture(scope="module")
def embedding(tmp_path_factory):
    """A network of its reference mode: the mean magnitude times (3, 4)."""
    path = tmp_path_factory.mktemp("scoreq") / "scoreq_ref.onnx"
    nodes = [
        helper.make_node("Abs", ["waveform"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude"], ["mean"], axes=[1]),
        helper.make_node("MatMul", ["mean", "matrix"], ["embedding"]),
    ]
    matrix = {"matrix": np.array([[3, 4]], dtype="float32")}
    inputs, outputs = {"waveform": [None, None]}, {"embedding": [None, 2]}
    return save_onnx(path, nodes, inputs, outputs, matrix)


@pytest.mark.parametrize("length", [16000, 16001, 16319, 400])
def test_clips_are_filled_up_to_whole_frames(samples, weights, length):
    clip = samples[0].noisy[8000 : 8000 + length]
    expected = np.abs(clip).sum() / (320 * -(-length // 320))
    # float32 sums
    assert scoreq(clip, None, RATE, weights=weights) == pytest.approx(
        expected, rel=1e-5
    )


def test_the_distance_is_euclidean(samples, embedding):
    clean = samples[0].clean[:16000]
    assert scoreq_ref(clean, clean, RATE, weights=embedding) == 0
    expected = 5 * np.abs(clean).mean()  # of (6, 8) and (3, 4)
    distance = scoreq_ref(2 * clean, clean, RATE, weights=embedding)
    assert distance == pytest.approx(expected, rel=1e-5)
    # a reference of another length
    assert scoreq_ref(clean, np.tile(clean, 2), weights=embedding) < 1e-5


def test_other_rates_are_resampled(samples, weights):
    clip = resample_poly(samples[0].noisy, 3, 1)
    expected = scoreq(resample_poly(clip, 1, 3), weights=weights)
    assert scoreq(clip, None, 48000, weights=weights) == expected


def test_what_it_cannot_score(samples, weights, embedding):
    clip = samples[0].noisy
    with pytest.raises(ValueError, match="ScoreQ: the enhanced clip is silent"):
        scoreq(0 * clip, weights=weights)
    with pytest.raises(ValueError, match="ScoreQ: the clean clip is silent"):
        scoreq_ref(clip, 0 * clip, weights=embedding)
    with pytest.raises(ValueError, match="ScoreQ: 0.010 s of the enhanced clip"):
        scoreq(clip[8000:8160], weights=weights)
    with pytest.raises(ValueError, match="ScoreQ: 600.000 s of the clean clip, not 0"):
        scoreq_ref(clip, np.resize(clip, 600 * RATE), weights=embedding)
    with pytest.raises(ValueError, match="ScoreQ: no domain 'music', choose from"):
        scoreq(clip, domain="music", weights=weights)


def test_without_a_network(samples, monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", fail)
    monkeypatch.setenv("HOME", str(tmp_path))
    for domain, name in (("natural", "telephone"), ("synthetic", "synthetic")):
        with pytest.raises(FileNotFoundError, match=f"zenodo.*/adapt_nr_{name}.onnx"):
            scoreq(samples[0].noisy, domain=domain)
        with pytest.raises(FileNotFoundError, match=f"zenodo.*/fixed_nmr_{name}.onnx"):
            scoreq_ref(*samples[0], domain=domain)


def test_forked_processes_change_nothing(samples, weights):
    clip = samples[0].noisy
    expected = scoreq(clip, weights=weights)
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        job = pool.submit(scoreq, clip, weights=weights)
        assert job.result(timeout=120) == expected
