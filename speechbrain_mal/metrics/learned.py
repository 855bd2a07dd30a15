"""What learned metrics share: optional packages, files of weights, one thread.

Every clip is scored on one thread: processes are what the cores are for, a forked one
can't wait for its parent's threads, and sums come out in the same order everywhere.
"""

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def require(metric: str, module: str) -> ModuleType:
    """Import an optional module, or say how to install it.

    Arguments
    ---------
    metric : str
        Named in the error.
    module : str
        The module's full name.

    Raises
    ------
    ModuleNotFoundError
        When the module, or one that it imports, is not installed.

    Example
    -------
    >>> require("DNSMOS", "not_here")
    Traceback (most recent call last):
    ModuleNotFoundError: DNSMOS needs not_here: pip install 'speechbrain-mal[eval]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{metric} needs {error.name}: pip install 'speechbrain-mal[eval]'",
            name=error.name,
        ) from error


def weights_file(
    metric: str, weights: str | os.PathLike | None, cached: str, url: str
) -> str:
    """Return the path of a metric's weights, fetched once if none are named.

    Arguments
    ---------
    metric : str
        Named in the error.
    weights : str or os.PathLike, optional
        The user's file.
    cached : str
        Where the file is looked for, and put, if the user names none; `~` is the home.
    url : str
        Where it comes from. It is moved into place when complete.

    Raises
    ------
    FileNotFoundError
        When there is no such file, or it can't be fetched.

    Example
    -------
    >>> weights_file("NISQA", "nowhere/nisqa.tar", "~/.cache/nisqa.tar", "https://...")
    Traceback (most recent call last):
    FileNotFoundError: NISQA: no weights at nowhere/nisqa.tar
    """
    path = Path(weights if weights is not None else cached).expanduser()
    if path.exists():
        return str(path)
    if weights is not None:
        raise FileNotFoundError(f"{metric}: no weights at {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except OSError as error:  # which URLError and HTTPError are
        raise FileNotFoundError(
            f"{metric}: no weights at {path}, and {url} can't be fetched ({error}). "
            "Put the file there, or name yours by the option `weights`."
        ) from error
    return str(path)


@functools.lru_cache
def onnx_session(metric: str, path: str) -> "InferenceSession":
    """Return the session of an ONNX model on one CPU thread, opened once a process."""
    onnxruntime = require(metric, "onnxruntime")
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
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
