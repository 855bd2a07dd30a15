"""A pre-trained network that never changes stays out of its loss's checkpoints.

It is loaded anew wherever the loss is built. What a checkpoint holds in its place is a
checksum of its weights, which says whether that was the same network.
"""

import zlib
from typing import Any

import torch
from torch import Tensor, nn


def leave_out(loss: nn.Module, name: str) -> None:
    """Replace a submodule in a module's state dict by the checksum of its weights.

    Loading is strict all the same, and state dicts that hold the weights still load.

    Arguments
    ---------
    loss : nn.Module
        The module whose state dict it is; `state_dict` of the submodule itself, or of
        whatever else it is a part of, stays as it is.
    name : str
        Name of the submodule. Its weights must never change from now on.

    Raises
    ------
    ValueError
        When a state dict is loaded that was saved with another network.

    Example
    -------
    >>> loss = nn.Sequential(nn.Linear(1000, 1000), nn.Linear(1, 1))
    >>> leave_out(loss, "0")
    >>> list(loss.state_dict())
    ['1.weight', '1.bias', '0_checksum']
    """
    known: list[Tensor] = []

    def checksum(module: nn.Module) -> Tensor:
        if not known:
            known.append(_checksum(module.get_submodule(name)))
        return known[0]

    def save(module: nn.Module, state: dict, prefix: str, metadata: Any) -> None:
        for key in [key for key in state if key.startswith(f"{prefix}{name}.")]:
            del state[key]
        state[f"{prefix}{name}_checksum"] = checksum(module)

    def load(module: nn.Module, state: dict, prefix: str, *others: Any) -> None:
        saved = state.pop(f"{prefix}{name}_checksum", None)
        if saved is not None and int(saved) != int(checksum(module)):
            network = type(module.get_submodule(name)).__name__
            raise ValueError(
                f"{prefix}{name}: this {network} has other weights than the one that "
                "the checkpoint was made with. Load the same network, or start a new "
                "run in another output_folder."
            )
        weights = module.get_submodule(name).state_dict()
        state.update({f"{prefix}{name}.{key}": x for key, x in weights.items()})

    loss.register_state_dict_post_hook(save)
    loss.register_load_state_dict_pre_hook(load)


def _checksum(module: nn.Module) -> Tensor:
    """Return the CRC-32 of a module's state dict."""
    value = 0
    for key, tensor in module.state_dict().items():
        data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        value = zlib.crc32(data.numpy(), zlib.crc32(key.encode(), value))
    return torch.tensor(value)
