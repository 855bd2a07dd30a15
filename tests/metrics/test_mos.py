"""Learned opinion scores: what their networks are given, and what is made of it."""

from urllib.error import URLError

import numpy as np
import pytest
import torch
from onnx import helper
from scipy import signal
from tiny_onnx import save_onnx

from speechbrain_mal.metrics import mos_onnx, mos_torch
from speechbrain_mal.metrics.learned import one_thread, weights_file
from speechbrain_mal.metrics.mos_onnx import dnsmos, scoreq, scoreq_ref, sigmos
from speechbrain_mal.metrics.mos_torch import distillmos, nisqa

RATE = 16000


@pytest.fixture(scope="module")
def clip(sample) -> np.ndarray:
    """Return noisy speech in float32, as files are read."""
    return sample.noisy.astype("float32")


def test_dnsmos_segments_are_those_of_the_official_script():
    clip = np.repeat(np.arange(40, dtype="float32"), RATE)
    first = [segment[0] for segment in mos_onnx.dnsmos_segments(clip)]
    # 40 - 9.01 s leaves 31 segments, of which rounding drops 17.
    assert first == [*range(7), *range(24, 31)]
    short = list(mos_onnx.dnsmos_segments(clip[: 3 * RATE]))  # doubled twice, to 12 s
    assert [segment[0] for segment in short] == [0, 1, 2]
    assert {len(segment) for segment in short} == {mos_onnx.SEGMENT}


def test_dnsmos_takes_samples_that_the_package_refuses(clip):
    assert all(0 < score < 5.5 for score in dnsmos(3 * clip[8000:8160]).values())


@pytest.mark.parametrize("cut", [0, 1, 479])
def test_sigmos_hears_the_compressed_spectrum(clip, cut):
    clip = np.resize(clip, 480 * 100 - cut)
    padded = torch.from_numpy(np.pad(clip, (0, -len(clip) % 480))).double()
    window = torch.hann_window(960, dtype=torch.double).sqrt()
    spectrum = torch.stft(
        padded, 960, 480, window=window, pad_mode="constant", return_complex=True
    ).T
    magnitude = spectrum.abs().clamp_min(1e-6) ** 0.3
    phase = spectrum / spectrum.abs().clamp_min(1e-6)
    expected = torch.stack([magnitude, magnitude * phase.real, magnitude * phase.imag])
    features = mos_onnx.sigmos_features(clip)
    assert features.shape == (1, 3, 101, 481)
    np.testing.assert_allclose(features[0], expected, atol=1e-5)  # float32


def test_sigmos_at_one_peak_level_and_48_khz(clip, networks):
    weights = networks["sigmos"]
    high = signal.resample(clip, 3 * len(clip))
    loud = high * (10 ** (-10 / 20) / np.abs(high).max())
    scores = sigmos(loud, None, 48000, weights=weights, peak_db=None)
    names = ["col", "disc", "loud", "noise", "reverb", "sig", "ovrl"]
    assert [*scores] == [f"sigmos_{name}" for name in names]
    # float32 or 64 before the spectrum, whose zeros above 8 kHz are compressed
    assert sigmos(clip, None, RATE, weights=weights) == pytest.approx(scores, abs=1e-2)
    raw = sigmos(clip, None, RATE, weights=weights, peak_db=None)
    assert raw != pytest.approx(scores, abs=0.01)


def test_sigmos_of_another_network_is_refused(clip, tmp_path):
    mean = helper.make_node(
        "ReduceMean", ["input"], ["output"], axes=[2, 3], keepdims=0
    )
    inputs, outputs = {"input": [None, 3, None, 481]}, {"output": [None, 3]}
    path = save_onnx(tmp_path / "a.onnx", [mean], inputs, outputs, {})
    with pytest.raises(ValueError, match="shorter than"):
        sigmos(clip, None, RATE, weights=path)


@pytest.mark.parametrize("length", [16000, 16001, 16319, 400])
def test_scoreq_s_clips_are_filled_up_to_whole_frames(clip, networks, length):
    clip = clip[8000 : 8000 + length]
    expected = np.abs(clip).sum() / (320 * -(-length // 320))
    score = scoreq(clip, None, RATE, weights=networks["scoreq"])
    assert score == pytest.approx(expected, rel=1e-5)  # float32 sums


def test_scoreq_s_distance_is_euclidean(clip, networks):
    weights = networks["scoreq_ref"]
    clip = clip[:16000]
    expected = 5 * np.abs(clip).mean()  # of (6, 8) and (3, 4)
    distance = scoreq_ref(2 * clip, clip, RATE, weights=weights)
    assert distance == pytest.approx(expected, rel=1e-5)
    # a reference of another length
    assert scoreq_ref(clip, np.tile(clip, 2), weights=weights) < 1e-5


def test_scoreq_s_files(clip, monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", fail)
    monkeypatch.setenv("HOME", str(tmp_path))
    for domain, name in (("natural", "telephone"), ("synthetic", "synthetic")):
        with pytest.raises(
            FileNotFoundError,
            match=f"at {tmp_path}.*, and .*zenodo.*/adapt_nr_{name}.onnx.* `weights`",
        ):
            scoreq(clip, domain=domain)
        with pytest.raises(FileNotFoundError, match=f"zenodo.*/fixed_nmr_{name}.onnx"):
            scoreq_ref(clip, clip, domain=domain)
    with pytest.raises(ValueError, match="no domain 'music', choose from"):
        scoreq(clip, domain="music")


def test_distillmos_covers_ten_minutes_a_segment_at_a_time(monkeypatch):
    clip = np.arange(1, 600 * RATE + 1, dtype="float32")
    seen = []
    monkeypatch.setattr(
        mos_torch, "_distillmos", lambda: lambda x: seen.append(x) or x[0, 0]
    )
    distillmos(clip)
    assert {segment.shape for segment in seen} == {(1, mos_torch.SEGMENT)}
    starts = [int(segment[0, 0]) - 1 for segment in seen]
    assert starts[0] == 0 and starts[-1] == len(clip) - mos_torch.SEGMENT
    assert max(np.diff(starts)) <= mos_torch.MAX_HOP


def test_distillmos_prints_nothing(clip, capsys):
    mos_torch._distillmos.cache_clear()
    distillmos(clip[:1600])
    assert capsys.readouterr().out == ""


# The package `nisqa` 2.0.post2 (PyPI), `NISQA_lib.NISQA_DIM` on the items of its
# `SpeechQualityDataset` with the settings in nisqa.tar: three noisy test clips of the
# sample corpus.
PUBLISHED = [
    [1.2021595, 1.4571377, 2.8896577, 1.9559205, 1.9731065],
    [1.3569663, 1.6110349, 3.0931482, 1.8541341, 1.6878910],
    [1.0270846, 1.7867141, 1.8565850, 2.1453950, 2.6464610],
]


def test_nisqa_is_what_the_published_package_computes(sample_pairs, options):
    for pair, expected in zip(sample_pairs.values(), PUBLISHED, strict=True):
        scores = nisqa(pair.noisy, None, RATE, **options("nisqa"), level_db=None)
        assert [*scores] == [f"nisqa_{d}" for d in ("mos", "noi", "dis", "col", "loud")]
        # float32 networks of two versions of torch
        assert [*scores.values()] == pytest.approx(expected, abs=1e-4)


def test_nisqa_hears_the_level_of_a_clip_that_is_left_as_it_is(clip, options):
    expected = nisqa(clip, **options("nisqa"))
    bare = nisqa(clip * np.float32(0.03), **options("nisqa"), level_db=None)
    assert abs(bare["nisqa_loud"] - expected["nisqa_loud"]) > 0.3
    click = np.zeros(RATE, dtype="float32")
    click[100] = 1
    with pytest.raises(ValueError, match="P.56: no active speech"):
        nisqa(click, **options("nisqa"))


def test_weights_are_loaded_once(clip, options, monkeypatch):
    nisqa(clip, **options("nisqa"))
    monkeypatch.delattr(torch, "load")
    assert nisqa(clip, **options("nisqa"))


def test_weights_are_fetched_once(tmp_path):
    source, cached = tmp_path / "source.tar", tmp_path / "cache" / "weights.tar"
    source.write_bytes(b"weights")
    for _ in range(2):  # the second time without the source
        path = weights_file(None, str(cached), source.as_uri())
        assert path == str(cached) and cached.read_bytes() == b"weights"
        source.unlink(missing_ok=True)
    assert [*cached.parent.iterdir()] == [cached]


def test_threads_are_given_back_after_an_error():
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert not torch.is_grad_enabled()
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == threads
