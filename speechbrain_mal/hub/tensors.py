"""Weights in safetensors: strict, whole or as they were, and never a pickle."""

import os
from collections.abc import Mapping
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from speechbrain_mal.files import printable, shown, whole_file

WEIGHTS_BYTES = 2 << 30
_HEADER_BYTES = 1 << 21  # 10,000 tensors
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def save_weights(module: nn.Module, path: str | os.PathLike) -> None:
    """Write a module's weights, shared ones once; the file is whole or as it was."""
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in _tensors(module).items()
    }
    with whole_file(path) as partial:
        save_file(tensors, str(partial), metadata={"format": "pt"})


def load_weights(module: nn.Module, file: BinaryIO, path: str | os.PathLike) -> None:
    """Load a module's weights, strictly, out of a file of anybody's making.

    ValueError, with its path, when it is no whole file, and as `put_weights`.
    """
    from safetensors.torch import load

    where, wanted = printable(path), _tensors(module).values()
    most = _HEADER_BYTES + sum(8 * tensor.numel() for tensor in wanted)
    if (size := os.fstat(file.fileno()).st_size) > most:
        raise ValueError(
            f"{where} holds another model's weights: {size} bytes, where the model "
            f"takes {most} at most."
        )
    data = file.read(most)
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or length > min(len(data) - 8, _HEADER_BYTES):
            raise ValueError(f"its header has {length} bytes of {len(data)}")
        given = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{where}: no whole file of weights in safetensors "
            f"({printable(error)[:200]}). Fetch or export it again."
        ) from error
    put_weights(module, given, where)


@torch.no_grad()
def put_weights(
    module: nn.Module, given: Mapping[str, Tensor], where: str, advice: str = ""
) -> None:
    """Give a module its weights; ValueError when they are another's, or no numbers."""
    wanted, more = _tensors(module), given.keys() - module.state_dict().keys()
    wrong = [f"{name} is missing" for name in wanted.keys() - given.keys()]
    wrong += [f"{name} is not in the model" for name in more]
    for name in wanted.keys() & given.keys():
        ours, theirs = list(wanted[name].shape), list(given[name].shape)
        if ours != theirs:
            wrong.append(f"{name} is {shown(theirs)}, and {ours} in the model")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        said = printable(", ".join(sorted(wrong)[:3]))[:300] + more
        said = f"{where} holds another model's weights: {said}. {advice}"
        raise ValueError(said.rstrip())
    for name, tensor in wanted.items():
        new = given[name]
        kinds = _FLOATS if tensor.is_floating_point() else (tensor.dtype,)
        if new.dtype not in kinds:
            raise ValueError(f"{where}, {shown(name)}: {new.dtype}, not {kinds[0]}.")
        if new.is_floating_point() and not new.isfinite().all():
            raise ValueError(f"{where}, {shown(name)}: NaN or infinite values.")
        tensor.copy_(new)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the state dict; what stands in it twice, once."""
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {n: t for n, t in state.items() if first.setdefault(id(t), n) == n}
