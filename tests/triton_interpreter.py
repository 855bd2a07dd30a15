"""Triton's kernels without a GPU, interpreted. Import it before they are."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def convert_single_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Triton 3.6's interpreter make an index of what NumPy 2.4 no longer does."""
    interpreter = pytest.importorskip("triton.runtime.interpreter")
    original = interpreter._patch_lang_tensor

    def patch(tensor, scope):
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch)
