import concurrent.futures
import multiprocessing
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT

from speechbrain_mal.metrics import nisqa as module
from speechbrain_mal.metrics.nisqa import nisqa

RATE = 16000
WEIGHTS = ROOT.parent / "shared" / "weights" / "nisqa.tar"

# The package `nisqa` 2.0.post2 (PyPI), `NISQA_lib.NISQA_DIM` on the items of its
# `SpeechQualityDataset` with the settings in nisqa.tar: three noisy test clips of the
# sample corpus.
PUBLISHED = [
    [1.2021595, 1.4571377, 2.8896577, 1.9559205, 1.9731065],
    [1.3569663, 1.6110349, 3.0931482, 1.8541341, 1.6878910],
    [1.0270846, 1.7867141, 1.8565850, 2.1453950, 2.6464610],
]


@pytest.fixture
def weights():
    if not WEIGHTS.exists():
        pytest.skip("NISQA's weights are not here: no ../shared/weights/nisqa.tar")
    return WEIGHTS


def test_is_what_the_published_package_computes(samples, weights):
    for pair, expected in zip(samples, PUBLISHED, strict=False):
        scores = nisqa(pair.noisy, None, RATE, weights=weights, level_db=None)
        assert [*scores] == [f"nisqa_{d}" for d in ("mos", "noi", "dis", "col", "loud")]
        # float32 networks of two versions of torch
        assert [*scores.values()] == pytest.approx(expected, abs=1e-4)


def test_is_what_torchmetrics_computes(samples, weights, monkeypatch, tmp_path):
    from torchmetrics.functional.audio import nisqa as package

    (tmp_path / "nisqa.tar").symlink_to(weights)
    monkeypatch.setattr(package, "NISQA_DIR", str(tmp_path))
    package._load_nisqa_model.cache_clear()
    for rate in (RATE, 48000):  # as if it were of that rate
        clip = torch.from_numpy(samples[3].noisy)
        expected = package.non_intrusive_speech_quality_assessment(clip, rate).tolist()
        scores = nisqa(clip.numpy(), None, rate, weights=weights, level_db=None)
        assert [*scores.values()] == pytest.approx(expected, abs=1e-5)  # float32


def test_falls_with_the_noise_on_real_speech(minibank, weights):
    for pair in minibank:
        clean, noisy = (nisqa(clip, weights=weights) for clip in pair)
        assert clean["nisqa_mos"] > noisy["nisqa_mos"]
        assert clean["nisqa_noi"] > noisy["nisqa_noi"]


@pytest.mark.parametrize("gain_db", [-30, -10, 10])
def test_the_level_does_not_matter(samples, weights, gain_db):
    clip = samples[0].noisy
    expected = nisqa(clip, weights=weights)
    scores = nisqa(clip * np.float32(10 ** (gain_db / 20)), weights=weights)
    # The P.56 level follows the gain to about 0.3 dB (its own test).
    assert scores == pytest.approx(expected, abs=0.05)
    bare = nisqa(clip * np.float32(0.03), weights=weights, level_db=None)
    assert abs(bare["nisqa_loud"] - expected["nisqa_loud"]) > 0.3


def test_what_it_cannot_score(samples, weights):
    clip = samples[0].noisy
    with pytest.raises(ValueError, match="NISQA: the enhanced clip is silent"):
        nisqa(0 * clip, weights=weights)
    for samples_in in (160, 14 * 160 - 1):  # 10 ms, one sample less than enough
        with pytest.raises(ValueError, match="NISQA: 0.*s are too short, 0.14 are"):
            nisqa(clip[8000 : 8000 + samples_in], weights=weights)
    assert nisqa(clip[8000 : 8000 + 14 * 160], weights=weights)
    with pytest.raises(
        ValueError, match="NISQA: 600 s are too long, it takes up to 52"
    ):
        nisqa(np.resize(clip, 600 * RATE), weights=weights)
    click = np.zeros(RATE, dtype="float32")
    click[100] = 1
    with pytest.raises(ValueError, match="NISQA: P.56: no active speech"):
        nisqa(click, weights=weights)


@pytest.mark.slow
def test_the_longest_clip(samples, weights):
    frames = 1300 * 4 + 14
    clip = np.resize(samples[0].noisy, (frames - 1) * 160)
    assert nisqa(clip, weights=weights)
    with pytest.raises(ValueError, match="too long"):
        nisqa(np.resize(clip, len(clip) + 160), weights=weights)


@pytest.mark.parametrize(
    "method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_processes_change_nothing(samples, weights, method):
    clips = [pair.noisy for pair in samples[:2]]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # a forked process would wait for its parent's second one
    try:
        expected = [nisqa(clip, None, RATE, weights=weights) for clip in clips]
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            jobs = [
                pool.submit(nisqa, clip, None, RATE, weights=weights) for clip in clips
            ]
            assert [job.result(timeout=120) for job in jobs] == expected
    finally:
        torch.set_num_threads(threads)


def test_the_weights_are_loaded_once(samples, weights, monkeypatch):
    nisqa(samples[0].noisy, weights=weights)
    monkeypatch.delattr(torch, "load")
    assert nisqa(samples[1].noisy, weights=str(weights))


@pytest.mark.parametrize("missing", ["librosa", "requests"])
def test_without_a_package(samples, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ModuleNotFoundError, match=rf"NISQA needs {missing}: .*\[eval\]"
    ):
        nisqa(samples[0].noisy, weights="unused")


def test_the_cache_is_that_of_torchmetrics():
    from torchmetrics.functional.audio.nisqa import NISQA_DIR

    assert f"{NISQA_DIR}/nisqa.tar" == module.CACHED
