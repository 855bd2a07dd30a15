import concurrent.futures
import multiprocessing
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.signal import resample_poly

from speechbrain_mal.metrics import dnsmos as module
from speechbrain_mal.metrics.dnsmos import dnsmos

RATE = 16000


def published(clip):
    """Return the scores by `speechmos` itself, under our names."""
    from speechmos import dnsmos as package

    scores = package.run(clip, RATE)
    return {f"dnsmos_{n}": scores[f"{n}_mos"] for n in ("sig", "bak", "ovrl", "p808")}


def fifteen_seconds(pairs):
    clip = np.concatenate([pair.noisy for pair in pairs])
    return np.tile(clip, 15 * RATE // len(clip) + 1)[: 15 * RATE]


# float32 networks on other numbers of threads
CLOSE = {"abs": 1e-4}


@pytest.mark.parametrize("seconds", [2.5, 11])
def test_is_what_the_package_computes(samples, seconds):
    clip = fifteen_seconds(samples)[: int(seconds * RATE)]
    assert dnsmos(clip, None, RATE) == pytest.approx(published(clip), **CLOSE)


def test_is_what_the_raw_networks_give():
    """One segment, with features by numpy alone."""
    rng = np.random.default_rng(0)
    clip = rng.standard_normal(module.SEGMENT).astype("float32")
    clip *= np.linspace(0, 0.2, len(clip), dtype="float32")
    import speechmos

    folder = Path(speechmos.__file__).parent / "dnsmos_models"
    p835 = onnxruntime.InferenceSession(folder / "sig_bak_ovr.onnx")
    sig, bak, ovrl = p835.run(None, {"input_1": clip[None]})[0][0].tolist()

    padded = np.pad(clip[:-160].astype(float), 160)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 321)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(321) / 321)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    # Slaney's scale: 15 mels up to 1 kHz, then 27 for each factor of 6.4.
    mels = np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), 122)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    bins = np.arange(161) * RATE / 321
    corners = zip(edges, edges[1:], edges[2:], strict=False)
    mel = np.stack(
        [power @ np.interp(bins, c, [0, 2 / (c[2] - c[0]), 0]) for c in corners], axis=1
    )
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    decibels = np.maximum(decibels - decibels.max(), -80)
    p808 = onnxruntime.InferenceSession(folder / "model_v8.onnx")
    features = ((decibels + 40) / 40).astype("float32")[None]
    expected = {
        "dnsmos_sig": -0.08397278 * sig**2 + 1.22083953 * sig + 0.0052439,
        "dnsmos_bak": -0.13166888 * bak**2 + 1.60915514 * bak - 0.39604546,
        "dnsmos_ovrl": -0.06766283 * ovrl**2 + 1.11546468 * ovrl + 0.04602535,
        "dnsmos_p808": p808.run(None, {"input_1": features})[0].item(),
    }
    assert dnsmos(clip) == pytest.approx(expected, **CLOSE)


def test_segments_are_those_of_the_official_script():
    clip = np.repeat(np.arange(40, dtype="float32"), RATE)
    first = [segment[0] for segment in module._segments(clip)]
    # 40 - 9.01 s leaves 31 segments, of which rounding drops 17.
    assert first == [*range(7), *range(24, 31)]
    short = list(module._segments(clip[: 3 * RATE]))  # doubled twice, to 12 s
    assert [segment[0] for segment in short] == [0, 1, 2]


def test_falls_with_the_noise_on_real_speech(minibank):
    for pair in minibank[:3]:
        clean, noisy = (dnsmos(clip[: 3 * RATE])["dnsmos_bak"] for clip in pair)
        assert clean > noisy


def test_other_rates_are_resampled(samples):
    clip = fifteen_seconds(samples)[: 3 * module.SEGMENT]  # of a rate three times lower
    expected = dnsmos(resample_poly(clip, 1, 3), None, RATE)
    assert dnsmos(clip, None, 48000) == expected


def test_any_length_has_a_score_but_silence(samples):
    clip = samples[0].noisy
    beyond = 3 * clip[8000:8160]  # 10 ms, and samples that the package refuses
    assert all(0 < score < 5.5 for score in dnsmos(beyond).values())
    with pytest.raises(ValueError, match="DNSMOS: the enhanced clip is silent"):
        dnsmos(0 * clip)


def test_ten_minutes_are_segments_like_any_others():
    clip = np.zeros(600 * RATE, dtype="float32")
    lengths = [len(segment) for segment in module._segments(clip)]
    # 591 begin before the last 9.01 s; a network of 9.01 s sees one at a time.
    assert set(lengths) == {module.SEGMENT} and 500 < len(lengths) < 591


@pytest.mark.parametrize(
    "method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_processes_change_nothing(samples, method):
    clip = fifteen_seconds(samples)
    clips = [clip[: module.SEGMENT], clip[-module.SEGMENT :]]
    expected = [dnsmos(clip) for clip in clips]  # the session is open before the fork
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(dnsmos, clips, timeout=120)) == expected


def test_without_the_package(samples, monkeypatch):
    module._sessions.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "speechmos", None)
    with pytest.raises(ModuleNotFoundError, match=r"DNSMOS needs speechmos.*\[eval\]"):
        dnsmos(samples[0].noisy)
