"""What learned metrics share: weights, the clips that they take, one thread.

Every clip is scored on one thread: processes are what the cores are for, a forked one
can't wait for its parent's threads, and sums come out in the same order everywhere.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechbrain_mal.extras import require
from speechbrain_mal.metrics.waveforms import check_clips, resample

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class LearnedMetric:
    """A network that scores clips.

    Arguments
    ---------
    name : str
        As errors call it.
    sample_rate : int, optional
        Of the clips that it takes, in Hz; without, of any.
    seconds : tuple of float
        Shortest and longest clip.
    cached : str
        Where its weights are looked for, and put, if the user names none.
    url : str
        Where they come from.

    Example
    -------
    >>> LearnedMetric("NISQA", seconds=(0.14, 52)).clip(np.ones(160), 16000)
    Traceback (most recent call last):
    ValueError: NISQA: the enhanced clip has 0.010 s, and at least 0.14 s can be scored
    """

    name: str
    sample_rate: int | None = None
    seconds: tuple[float, float] = (0.0, np.inf)
    cached: str = ""
    url: str = ""

    def clip(
        self, clip: np.ndarray, sample_rate: int, which: str = "enhanced"
    ) -> np.ndarray:
        """Return a clip as the network takes it; `which` is what errors call it."""
        check_clips(self.name, sample_rate, self.seconds, **{which: clip})
        target = self.sample_rate or sample_rate
        return resample(clip, sample_rate, target).astype(np.float32)

    def weights(self, path: str | os.PathLike | None, file: str = "") -> str:
        """Return the path of the weights, fetched once if the user names none.

        `file` is behind `cached` and `url`, where there are several. Raises
        FileNotFoundError when there is no such file, or it can't be fetched.
        """
        place = Path(path if path is not None else self.cached + file).expanduser()
        if place.exists():
            return str(place)
        if path is not None:
            raise FileNotFoundError(f"{self.name}: no weights at {place}")
        from torch.hub import download_url_to_file  # moves it into place when complete

        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_url_to_file(self.url + file, str(place), progress=False)
        except OSError as error:  # which URLError and HTTPError are
            raise FileNotFoundError(
                f"{self.name}: no weights at {place}, and {self.url + file} can't be "
                f"fetched ({error}). Put the file there, or name yours by the option "
                "`weights`."
            ) from error
        return str(place)

    def session(self, path: str) -> InferenceSession:
        """Return the session of an ONNX model on one CPU thread, opened once."""
        require("onnxruntime", "eval")
        return _session(path)


@functools.lru_cache
def _session(path: str) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread and without gradients in the block.

    Example
    -------
    >>> import torch
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
