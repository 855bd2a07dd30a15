import concurrent.futures
import multiprocessing
import sys

import numpy as np
import pytest
import torch
from distillmos import ConvTransformerSQAModel

from speechbrain_mal.metrics import distillmos as module
from speechbrain_mal.metrics.distillmos import distillmos

RATE = 16000


@pytest.mark.parametrize("seconds", [1.7, 9.3])
def test_is_what_the_package_computes(samples, seconds):
    clip = np.concatenate([pair.noisy for pair in samples])[: int(seconds * RATE)]
    with torch.no_grad():
        expected = ConvTransformerSQAModel().eval()(torch.from_numpy(clip)[None]).item()
    # float32, and there the segments are one batch
    assert distillmos(clip, None, RATE) == pytest.approx(expected, abs=1e-4)


def test_falls_with_the_noise_on_real_speech(minibank):
    for pair in minibank[:4]:
        clean, noisy = (distillmos(clip[: 5 * RATE]) for clip in pair)
        assert clean > noisy


def test_the_level_does_not_matter(samples):
    clip = samples[0].noisy
    # The network divides by the peak + 1e-8.
    assert distillmos(0.03 * clip) == pytest.approx(distillmos(clip), abs=1e-4)


def test_any_length_has_a_score_but_silence(samples):
    clip = samples[0].noisy
    assert 1 <= distillmos(clip[8000:8160]) <= 5  # 10 ms
    with pytest.raises(ValueError, match="Distill-MOS: the enhanced clip is silent"):
        distillmos(0 * clip)


def test_ten_minutes_are_covered_a_segment_at_a_time(monkeypatch):
    clip = np.arange(1, 600 * RATE + 1, dtype="float32")
    seen = []
    monkeypatch.setattr(module, "_model", lambda: lambda x: seen.append(x) or x[0, 0])
    distillmos(clip)
    assert {segment.shape for segment in seen} == {(1, module.SEGMENT)}
    starts = [int(segment[0, 0]) - 1 for segment in seen]
    assert starts[0] == 0 and starts[-1] == len(clip) - module.SEGMENT
    assert max(np.diff(starts)) <= module.MAX_HOP


@pytest.mark.parametrize(
    "method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_processes_change_nothing(samples, method):
    clips = [pair.noisy for pair in samples[:2]]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # a forked process would wait for its parent's second one
    try:
        expected = [distillmos(clip) for clip in clips]
        assert torch.get_num_threads() == 2
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(distillmos, clips, timeout=120)) == expected
    finally:
        torch.set_num_threads(threads)


def test_the_package_prints_nothing(samples, capsys):
    module._model.cache_clear()
    distillmos(samples[0].clean)
    assert capsys.readouterr().out == ""


def test_without_the_package(samples, monkeypatch):
    module._model.cache_clear()
    monkeypatch.setitem(sys.modules, "distillmos", None)
    with pytest.raises(ModuleNotFoundError, match="Distill-MOS needs distillmos: pip"):
        distillmos(samples[0].noisy)
