"""A DeepFilterNet2 in onnxruntime, hop by hop, out of a file of `export_onnx`."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechbrain_mal.extras import require
from speechbrain_mal.inference.stream import Stream

FORMAT = 2  # of the file's inputs and metadata; a higher one needs a later version
PREFIX = "speechbrain_mal."  # of the metadata's names


class OnnxState(NamedTuple):
    """Where one signal is."""

    hops: int  # that have been heard
    tensors: list[np.ndarray]  # the file's state


class OnnxDeepFilterNet2:
    """A model for any number of streams, without its PyTorch weights.

    Arguments
    ---------
    path : path
        A file that `export_onnx` wrote.
    threads : int
        Threads of onnxruntime. A hop is too little work for more than one.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ImportError
        Without the extra `onnx`.
    ValueError
        When it is another file, or needs a later version of this package.

    Example
    -------
    >>> import tempfile
    >>> from speechbrain_mal.inference import export_onnx
    >>> from speechbrain_mal.models import DeepFilterNet2
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(model, f"{folder}/enhancer.onnx")
    ...     enhancer = OnnxDeepFilterNet2(f"{folder}/enhancer.onnx")
    >>> stream, noisy = enhancer.stream(), torch.randn(4000)
    >>> enhanced = torch.cat([stream.push(noisy), stream.flush()])
    >>> torch.allclose(enhanced, model(noisy[None])[0], atol=1e-5)
    True
    """

    device = torch.device("cpu")

    def __init__(self, path: str | os.PathLike, threads: int = 1):
        self._session = _session(Path(path), threads)
        known = _metadata(self._session, Path(path))
        self.sample_rate: int = known["sample_rate"]
        self.n_fft: int = known["n_fft"]
        self.hop_length: int = known["hop_length"]
        self.latency_samples: int = known["latency_samples"]
        self._lookahead: int = known["lookahead"]
        self._late = known["lookahead"] + known["df_lookahead"]  # hops
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._first = [
            np.zeros(node.shape, np.float32) for node in self._session.get_inputs()[2:]
        ]
        self._first[self._inputs.index("fade") - 2][:] = 1

    def stream(
        self, channels: int | None = None, atten_lim_db: float | None = None
    ) -> Stream:
        """Return a new live stream; many may be open at once.

        Arguments
        ---------
        channels, atten_lim_db
            As of `Stream`.
        """
        return Stream(self, channels, atten_lim_db)

    def start(self, batch: int) -> list[OnnxState]:
        """Return the state before the first sample of `batch` signals."""
        return [OnnxState(0, self._first)] * batch

    def step(
        self, samples: Tensor, state: list[OnnxState]
    ) -> tuple[Tensor, list[OnnxState]]:
        """Enhance whole hops, as `StreamingDeepFilterNet2.step` does.

        Arguments
        ---------
        samples : Tensor
            `[B, k * hop_length]`.
        state : list of OnnxState
            Of `start`, or what the block before returned.
        """
        rows = samples.numpy().reshape(len(state), -1, 1, self.hop_length)
        results = [
            self._run(row, one, heard=True)
            for row, one in zip(rows, state, strict=True)
        ]
        enhanced, state = zip(*results, strict=True)
        return torch.from_numpy(np.stack(enhanced)), list(state)

    def finish(self, state: list[OnnxState]) -> Tensor:
        """Return what is left after the last block, `[B, m * hop_length]`."""
        silence = np.zeros((self._late, 1, self.hop_length), np.float32)
        last = [self._run(silence, one, heard=False)[0] for one in state]
        return torch.from_numpy(np.stack(last))

    def _run(
        self, hops: np.ndarray, state: OnnxState, heard: bool
    ) -> tuple[np.ndarray, OnnxState]:
        """Enhance the hops of one signal; those that precede it are dropped."""
        outputs, (number, tensors) = [np.empty((1, 0), np.float32)], state
        for hop in hops:
            gates = np.array([heard, number >= self._lookahead], np.float32)
            feeds = dict(zip(self._inputs, [hop, gates, *tensors], strict=True))
            enhanced, *tensors = self._session.run(None, feeds)
            if number >= self._late:
                outputs.append(enhanced)
            number += 1
        return np.concatenate(outputs, axis=1)[0], OnnxState(number, tensors)


def _session(path: Path, threads: int) -> "onnxruntime.InferenceSession":  # noqa: F821
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file.")
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no other base
        raise ValueError(f"{path}: not a readable ONNX file ({error}).") from error


def _metadata(session: "onnxruntime.InferenceSession", path: Path) -> dict:  # noqa: F821
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
