"""Kernels for GPUs, in Triton, where PyTorch's own operations are the slower half.

What each one buys, measured, stands in benchmarks/README.md. Nothing else imports them:
who computes on a GPU asks for them by `fused`, and does without where there are none.
"""

import functools
import importlib
from types import ModuleType

import torch


@functools.cache
def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError:  # Triton comes with PyTorch's builds for GPUs alone
        return None


def fused(name: str, x: torch.Tensor) -> ModuleType | None:
    """Return kernels for a tensor, "gru", "distance" or "bias_relu", or None.

    Example
    -------
    >>> fused("gru", torch.zeros(1)) is None  # on a CPU
    True
    """
    if not x.is_cuda or torch.compiler.is_compiling():
        return None
    return _module(name)
