"""An ONNX file is whole or as it was, and other files are refused."""

import shutil
import sys
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from streaming_models import EXACT, SIZES, make_model, noise

from speechbrain_mal.inference import OnnxDeepFilterNet2, export_onnx
from speechbrain_mal.inference.fourier import RealFourier
from speechbrain_mal.models import DeepFilterNet2


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a model and its file."""
    model = make_model(sample_rate=16000)
    path = tmp_path_factory.mktemp("onnx") / "enhancer.onnx"
    export_onnx(model, path)
    return model, path


def assert_near(actual, expected):
    limit = EXACT * max(expected.abs().max().item(), 1e-2)  # noise, of 0.1
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize("n_fft", [960, 320, 256, 81, 13])
def test_fourier_transform_is_torchs(n_fft):
    window, frame = torch.rand(n_fft), noise(1, n_fft)
    fourier = RealFourier(window, scale=0.5)
    parts = fourier.transform(frame)
    spectrum = torch.complex(*parts.unbind(-1))[0]
    assert_near(spectrum, 0.5 * torch.fft.rfft(window * frame))
    expected = window * torch.fft.irfft(spectrum, n=n_fft, norm="forward")
    assert_near(fourier.overlap_add(parts), expected)


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


def cut(size):
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def of_something_else(path):
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def of_format(number):
    def make(path):
        model = onnx.load(path)
        for entry in model.metadata_props:
            if entry.key == "speechbrain_mal.format":
                entry.value = number
        onnx.save(model, path)

    return make


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (Path.unlink, FileNotFoundError, "there is no such file"),
        *((cut(size), ValueError, "not a") for size in (0, 100, 10_000)),
        (of_something_else, ValueError, "not a file that `export_onnx` wrote"),
        (of_format("0"), ValueError, "in format 0.*reads format 2"),
        (of_format("3"), ValueError, "in format 3.*reads format 2"),
    ],
)
def test_other_files_are_refused(exported, tmp_path, make, error, message):
    make(Path(shutil.copy(exported[1], tmp_path / "other.onnx")))
    with pytest.raises(error, match=rf"other\.onnx: {message}"):
        OnnxDeepFilterNet2(tmp_path / "other.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_package_names_the_extra(exported, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"speechbrain-mal\[onnx\]"):
        if package == "onnx":
            export_onnx(exported[0], tmp_path / "enhancer.onnx")
        else:
            OnnxDeepFilterNet2(exported[1])
