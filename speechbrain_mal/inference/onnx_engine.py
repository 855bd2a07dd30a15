"""A DeepFilterNet2's step of one hop as an ONNX file, and streams in onnxruntime."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import speechbrain_mal
from speechbrain_mal.extras import require
from speechbrain_mal.files import whole_file
from speechbrain_mal.inference.folding import fold
from speechbrain_mal.inference.fourier import RealFourier
from speechbrain_mal.inference.step import StreamingDeepFilterNet2, StreamState
from speechbrain_mal.inference.stream import Stream
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2

FORMAT = 2  # of the file's inputs and metadata; a higher one needs a later version
OPSET = 17
PREFIX = "speechbrain_mal."  # of the metadata's names
_TOLD = "sample_rate n_fft hop_length lookahead latency_samples".split()


class _HopStep(nn.Module):
    """`StreamingDeepFilterNet2.step` of tensors alone, in real numbers."""

    def __init__(self, model: DeepFilterNet2):
        super().__init__()
        front_end = model.encoder.front_end
        scale = 2 * front_end.hop_length / front_end.n_fft**2
        self.model, self.fourier = model, RealFourier(front_end.window, scale)
        self.streaming = StreamingDeepFilterNet2(model, self.fourier)

    def forward(
        self, noisy: Tensor, gates: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        state = StreamState(*state)
        enhanced, state = self.streaming.step(noisy, gates.unbind(), state)
        return (enhanced, *state)


def export_onnx(model: DeepFilterNet2, path: str | os.PathLike) -> None:
    """Write the streaming step of a model for `OnnxDeepFilterNet2` and others.

    The file's inputs are `noisy` `[1, hop_length]`, `gates` `[2]` (as of
    `StreamingDeepFilterNet2.step`), and those of `StreamState`; its outputs are
    `enhanced` and, named `next_...`, the next state. The first state is zero but for
    `fade`, which is 1. The file appears when it is whole. ImportError without the extra
    `onnx`, ValueError when the model is in training mode.
    """
    onnx = require("onnx", "onnx")
    step = _HopStep(fold(model))
    metadata = {name: getattr(step.streaming, name) for name in _TOLD} | {
        "format": FORMAT,
        "version": speechbrain_mal.__version__,
        "torch": torch.__version__,
    }
    inputs = torch.zeros(1, step.streaming.hop_length), torch.ones(2)
    names = StreamState._fields
    with whole_file(path) as partial:
        with warnings.catch_warnings():
            # The newer exporter needs another package, and makes a loop of a GRU.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                step,
                (*inputs, *step.streaming.start(1)),
                str(partial),
                input_names=["noisy", "gates", *names],
                output_names=["enhanced", *(f"next_{name}" for name in names)],
                opset_version=OPSET,
                dynamo=False,
            )
        exported = onnx.load(partial)
        for key, value in metadata.items():
            exported.metadata_props.add(key=PREFIX + key, value=json.dumps(value))
        onnx.checker.check_model(exported)
        onnx.save(exported, partial)


class OnnxDeepFilterNet2:
    """A file that `export_onnx` wrote, for any number of streams, without its weights.

    FileNotFoundError, ImportError (without the extra `onnx`), or ValueError when it is
    another file, or needs a later version of this package.

    Example
    -------
    >>> from speechbrain_mal.models import DeepFilterNet2
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> path = getfixture("tmp_path") / "enhancer.onnx"
    >>> export_onnx(model, path)
    >>> stream, noisy = OnnxDeepFilterNet2(path).stream(), torch.randn(4000)
    >>> enhanced = torch.cat([stream.push(noisy), stream.flush()])
    >>> torch.allclose(enhanced, model(noisy[None])[0], atol=1e-5)
    True
    """

    device = torch.device("cpu")

    def __init__(self, path: str | os.PathLike):
        self._session = _session(Path(path))
        known = _metadata(self._session, Path(path))
        for name in _TOLD:
            setattr(self, name, known[name])
        inputs = self._session.get_inputs()
        self._inputs = [node.name for node in inputs]
        self._first = [
            np.full(node.shape, node.name == "fade", np.float32) for node in inputs[2:]
        ]

    def stream(
        self, channels: int | None = None, atten_lim_db: float | None = None
    ) -> Stream:
        """Return a new `Stream`; many may be open at once."""
        return Stream(self, channels, atten_lim_db)

    def start(self, batch: int) -> list[list[np.ndarray]]:
        """Return the state before the first sample of `batch` signals."""
        return [self._first] * batch

    def step(
        self, samples: Tensor, gates: tuple[float, float], state: list
    ) -> tuple[Tensor, list]:
        """Enhance whole hops, as `StreamingDeepFilterNet2.step` does."""
        rows = samples.numpy().reshape(len(state), -1, 1, self.hop_length)
        gates, enhanced, following = np.array(gates, np.float32), [], []
        for hops, tensors in zip(rows, state, strict=True):
            for hop in hops:
                feeds = dict(zip(self._inputs, [hop, gates, *tensors], strict=True))
                output, *tensors = self._session.run(None, feeds)
                enhanced.append(output)
            following.append(tensors)
        return torch.from_numpy(np.stack(enhanced)).view(len(rows), -1), following


def _session(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file.")
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    # A hop is too little work for more than one thread.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no other base
        raise ValueError(f"{path}: not a readable ONNX file ({error}).") from error


def _metadata(session: Any, path: Path) -> dict[str, Any]:
    """Return what `export_onnx` says of the file."""
    written = {
        name.removeprefix(PREFIX): value
        for name, value in session.get_modelmeta().custom_metadata_map.items()
        if name.startswith(PREFIX)
    }
    if "format" not in written:
        raise ValueError(f"{path}: not a file that `export_onnx` wrote.")
    if written["format"] != str(FORMAT):
        raise ValueError(
            f"{path}: in format {written['format']}, written by speechbrain-mal "
            f"{written.get('version')}; this version reads format {FORMAT}. Export the "
            "model again, or install the version that wrote it."
        )
    return {name: json.loads(value) for name, value in written.items()}
