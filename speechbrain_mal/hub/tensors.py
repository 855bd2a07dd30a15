"""Weights in safetensors: strict, whole or as they were, and never a pickle.

The format is eight bytes with the length of a JSON header, that header (type, shape and
place of every tensor), and the tensors. It is read here, with nothing in it believed:
places must fill the file without gaps and overlaps, and shapes are compared with the
network's before a tensor is read.
"""

import math
import os
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from speechbrain_mal.files import parse_json, printable, shown

WEIGHTS_BYTES = 2 << 30
_HEADER_BYTES = 1 << 21  # 10,000 tensors
_TYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,  # BatchNorm's counters
}
Place = tuple[int, int, str, str, list[int]]  # start, end, name, type, shape


def save_weights(module: nn.Module, path: str | os.PathLike) -> None:
    """Write a module's weights; the file is whole or as it was.

    Arguments
    ---------
    module : nn.Module
        Its state dict is written; tensors that it has twice are written once.
    path : path
        The file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "enhancer.safetensors"
    >>> trained, fresh = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> save_weights(trained, path)
    >>> with open(path, "rb") as file:
    ...     load_weights(fresh, file, read_header(file, "it"), "it")
    >>> bool((fresh.weight == trained.weight).all())
    True
    """
    from safetensors.torch import save_file

    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in _tensors(module).items()
    }
    try:
        save_file(tensors, str(partial), metadata={"format": "pt"})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@torch.no_grad()
def load_weights(
    module: nn.Module, file: BinaryIO, places: list[Place], where: str
) -> None:
    """Load a module's weights, strictly.

    Arguments
    ---------
    module : nn.Module
        Where they go, on its own device.
    file : binary file
        In safetensors, read up to the end of its header.
    places : list of Place
        What `read_header` returned.
    where : str
        What errors call it.

    Raises
    ------
    ValueError
        When the file is of another model, or a value is no finite number.
    """
    where = printable(where)
    wanted = _tensors(module)
    names = [name for _, _, name, _, _ in places]
    wrong = [f"{name} is missing" for name in wanted.keys() - set(names)]
    wrong += [f"{name} is not in the model" for name in set(names) - wanted.keys()]
    for *_, name, kind, shape in places if not wrong else ():
        tensor = wanted[name]
        if list(tensor.shape) != shape:
            wrong.append(f"{name} is {shape}, and {list(tensor.shape)} in the model")
        elif _TYPES[kind].is_floating_point != tensor.is_floating_point():
            raise ValueError(f"{where}, {shown(name)}: {kind}, not {tensor.dtype}.")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        said = printable(", ".join(sorted(wrong)[:3]))[:300] + more
        raise ValueError(f"{where} holds another model's weights: {said}.")
    for start, end, name, kind, shape in places:
        data = bytearray(file.read(end - start))
        if len(data) != end - start:
            raise ValueError(f"{where}: it became shorter while it was read.")
        if not data:
            continue
        tensor = torch.frombuffer(data, dtype=_TYPES[kind]).view(shape)
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{where}, {shown(name)}: NaN or infinite values.")
        wanted[name].copy_(tensor)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the state dict; what stands in it twice, once."""
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {n: t for n, t in state.items() if first.setdefault(id(t), n) == n}


def read_header(file: BinaryIO, where: str) -> list[Place]:
    """Return where every tensor is, in this order, behind the header's end.

    Raises
    ------
    ValueError
        When the file is damaged or not in this format, or a tensor has a type that
        weights don't have.
    """
    where = printable(where)
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _HEADER_BYTES):
        raise ValueError(
            f"{where}: no whole file of weights in safetensors (its header has "
            f"{length} bytes of {size}). Fetch or export it again."
        )
    header = parse_json(file.read(length), f"{where}, header")
    if not isinstance(header, dict):
        raise ValueError(f"{where}, header: names and tensors, not {shown(header)}.")
    header.pop("__metadata__", None)
    places = []
    for name, entry in header.items():
        try:
            places.append(_place(name, entry))
        except ValueError as error:
            raise ValueError(f"{where}, {shown(name)}: {error}") from None
    places.sort()
    end = 0
    for start, after, name, *_ in places:
        if start != end:
            raise ValueError(f"{where}, {shown(name)}: begins at {start}, not {end}.")
        end = after
    if 8 + length + end != size:
        raise ValueError(
            f"{where}: no whole file of weights in safetensors ({size} bytes, and "
            f"{8 + length + end} by its header). Fetch or export it again."
        )
    return places


def _place(name: str, entry: object) -> Place:
    keys = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or entry.keys() != keys:
        raise ValueError(f"{', '.join(sorted(keys))}, not {shown(entry)}.")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"dtype is one of {list(_TYPES)}, not {shown(kind)}.")
    for key, sizes, most in (("shape", shape, 8), ("data_offsets", offsets, 2)):
        whole = isinstance(sizes, list) and all(type(n) is int for n in sizes)
        if not whole or len(sizes) > most or min(sizes, default=0) < 0:
            raise ValueError(f"{key} is no list of sizes: {shown(sizes)}.")
    nbytes = math.prod(shape) * _TYPES[kind].itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != nbytes:
        raise ValueError(f"{nbytes} bytes, not those of {shown(offsets)}.")
    return offsets[0], offsets[1], name, kind, shape
