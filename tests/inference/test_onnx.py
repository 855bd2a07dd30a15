"""The ONNX file gives what the model gives, and other files are refused."""

import builtins
import tracemalloc

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from streaming_models import EXACT, KINDS, SIZES, make_model, noise

from speechbrain_mal.inference import (
    OnnxDeepFilterNet2,
    Stream,
    StreamingDeepFilterNet2,
    export_onnx,
)
from speechbrain_mal.inference.fourier import RealFourier
from speechbrain_mal.models import DeepFilterNet2


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """Return a model and what runs its file."""
    model = make_model(**KINDS[request.param])
    path = tmp_path_factory.mktemp("onnx") / "enhancer.onnx"
    export_onnx(model, path)
    return model, OnnxDeepFilterNet2(path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a model and its file."""
    model = make_model(sample_rate=16000)
    path = tmp_path_factory.mktemp("onnx") / "enhancer.onnx"
    export_onnx(model, path)
    return model, path


def enhance(stream, noisy, piece):
    pieces = [stream.push(part) for part in noisy.split(piece, dim=-1)]
    return torch.cat([*pieces, stream.flush()], dim=-1)


def assert_near(actual, expected):
    limit = EXACT * max(expected.abs().max().item(), 1e-2)  # noise, of 0.1
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize("n_fft", [960, 320, 256, 81, 13])
def test_fourier_transform_is_torchs(n_fft):
    window, frame = torch.rand(n_fft), noise(n_fft)
    fourier = RealFourier(window, scale=0.5)
    parts = fourier.transform(frame)
    assert_near(torch.complex(*parts.unbind(-1)), 0.5 * torch.fft.rfft(window * frame))
    spectrum = torch.complex(*parts.unbind(-1))
    expected = window * torch.fft.irfft(spectrum, n=n_fft, norm="forward")
    assert_near(fourier.inverse(parts), expected)


@pytest.mark.parametrize("piece", [100, 480, 1000, 10**6])
def test_pieces_of_any_size_give_the_whole_result(pair, piece):
    model, enhancer = pair
    noisy = noise(9037)  # not a whole number of hops
    assert_near(enhance(enhancer.stream(), noisy, piece), model(noisy[None])[0])


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 800, 801])
def test_signals_shorter_than_the_latency(pair, samples):
    model, enhancer = pair
    noisy = noise(samples)
    enhanced = enhance(enhancer.stream(), noisy, 50)
    assert enhanced.shape == noisy.shape
    if samples:
        assert_near(enhanced, model(noisy[None])[0])


def test_every_piece_is_that_of_the_stream_in_pytorch(pair):
    model, enhancer = pair
    onnx_stream, stream = enhancer.stream(), Stream(StreamingDeepFilterNet2(model))
    assert onnx_stream.latency_ms == stream.latency_ms
    assert onnx_stream.sample_rate == stream.sample_rate
    for piece in noise(5000).split(333):
        actual, expected = onnx_stream.push(piece), stream.push(piece)
        torch.testing.assert_close(actual, expected, rtol=0, atol=EXACT)
    torch.testing.assert_close(onnx_stream.flush(), stream.flush(), rtol=0, atol=EXACT)


def test_speech(exported, speech):
    model, path = exported
    noisy = speech[0] + noise(speech.shape[1])
    stream = OnnxDeepFilterNet2(path).stream()
    assert_near(enhance(stream, noisy, 512), model(noisy[None])[0])


def test_streams_of_one_session_do_not_mix(exported):
    model, path = exported
    enhancer = OnnxDeepFilterNet2(path)
    signals = [noise(4000, seed=i) for i in range(3)]
    streams, outputs = [enhancer.stream() for _ in signals], [[] for _ in signals]
    for start in range(0, 4000, 250):
        for signal, stream, output in zip(signals, streams, outputs, strict=True):
            output.append(stream.push(signal[start : start + 250]))
    for signal, stream, output in zip(signals, streams, outputs, strict=True):
        enhanced = torch.cat([*output, stream.flush()])
        assert_near(enhanced, model(signal[None])[0])


def test_channels_and_attenuation_limit(exported):
    model, path = exported
    noisy = noise(2, 4037)
    stream = OnnxDeepFilterNet2(path).stream(channels=2, atten_lim_db=20)
    assert_near(enhance(stream, noisy, 333), 0.1 * noisy + 0.9 * model(noisy))


def test_memory_does_not_grow(exported):
    stream = OnnxDeepFilterNet2(exported[1]).stream(atten_lim_db=12)
    for piece in noise(16000).split(160):
        stream.push(piece)
    tracemalloc.start()
    for piece in noise(32000).split(160):
        stream.push(piece)
    before = tracemalloc.get_traced_memory()[0]
    for piece in noise(160000).split(160):
        stream.push(piece)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # A hop leaves a state of some 30 kB in place of the last: 1000 leave no more.
    assert after < before + 10_000


def test_digital_silence_stays_finite(exported):
    stream = OnnxDeepFilterNet2(exported[1]).stream()
    assert enhance(stream, torch.zeros(16000), 4000).abs().max() == 0


def test_the_file_says_what_it_is(exported):
    model, path = exported
    known = {x.key: x.value for x in onnx.load(path).metadata_props}
    assert known["speechbrain_mal.format"] == "2"
    assert known["speechbrain_mal.sample_rate"] == "16000"
    assert known["speechbrain_mal.latency_samples"] == "960"
    assert torch.__version__ in known["speechbrain_mal.torch"]
    assert not list(path.parent.glob(".*"))  # nothing partial is left


def test_model_is_as_before(exported, tmp_path):
    model, _ = exported
    noisy = noise(1, 4000)
    before = model(noisy)
    export_onnx(model, tmp_path / "again.onnx")
    torch.testing.assert_close(model(noisy), before, rtol=0, atol=0)


# Errors


def test_failed_export_leaves_the_old_file(exported, tmp_path, monkeypatch):
    path = tmp_path / "enhancer.onnx"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(onnx, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export_onnx(exported[0], path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_export_of_a_model_in_training_is_an_error(tmp_path):
    model = DeepFilterNet2(16000, **SIZES)
    with pytest.raises(ValueError, match=r"eval\(\)"):
        export_onnx(model, tmp_path / "enhancer.onnx")


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: there is no such file"):
        OnnxDeepFilterNet2(tmp_path / "none.onnx")


@pytest.mark.parametrize("cut", [0, 100, 10_000])
def test_damaged_file_is_an_error(exported, tmp_path, cut):
    path = tmp_path / "cut.onnx"
    path.write_bytes(exported[1].read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"cut\.onnx: not a"):
        OnnxDeepFilterNet2(path)


def test_file_of_something_else_is_an_error(tmp_path):
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    with pytest.raises(ValueError, match=r"not a file that `export_onnx` wrote"):
        OnnxDeepFilterNet2(path)


@pytest.mark.parametrize("number", ["0", "3"])
def test_other_format_is_an_error(exported, tmp_path, number):
    model = onnx.load(exported[1])
    for entry in model.metadata_props:
        if entry.key == "speechbrain_mal.format":
            entry.value = number
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(ValueError, match=f"in format {number}.*reads format 2"):
        OnnxDeepFilterNet2(path)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_package_names_the_extra(exported, tmp_path, monkeypatch, package):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"speechbrain-mal\[onnx\]"):
        if package == "onnx":
            export_onnx(exported[0], tmp_path / "enhancer.onnx")
        else:
            OnnxDeepFilterNet2(exported[1])


def test_bad_samples_change_nothing(exported):
    model, path = exported
    noisy = noise(2000)
    stream = OnnxDeepFilterNet2(path).stream()
    first = stream.push(noisy[:999])
    with pytest.raises(ValueError, match="NaN or infinite"):
        stream.push(torch.tensor([np.nan]))
    rest = [stream.push(noisy[999:]), stream.flush()]
    assert_near(torch.cat([first, *rest]), model(noisy[None])[0])
