"""An exported folder: what its `config.json` says, and the enhancer in it."""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from speechbrain_mal import __version__
from speechbrain_mal.files import (
    JSON_BYTES,
    open_file,
    parse_json,
    printable,
    read_bytes,
    shown,
    write_text,
)
from speechbrain_mal.hub.registry import RATE, build_model
from speechbrain_mal.hub.schema import checked
from speechbrain_mal.hub.tensors import WEIGHTS_BYTES, load_weights

FORMAT = 2  # of the folder; a higher one needs a later version of this package
CONFIG, WEIGHTS, HYPERPARAMS = "config.json", "enhancer.safetensors", "hyperparams.yaml"
_BLOCK = {
    "format": range(1, 1000),
    **dict.fromkeys(("version", "speechbrain", "torch", "system"), (str, None)),
    "sample_rate": RATE,
    "epoch": (range(1_000_000_000), None),
    "model": lambda spec, where, depth: spec,  # `build_model` looks at it
}


def config_of(model: Any, settings: dict[str, Any], epoch: int | None) -> dict:
    """Return what `config.json` holds.

    Arguments
    ---------
    model : dict or None
        The network as data, see `registry.py`.
    settings : dict
        `system` and `sample_rate`, in Hz.
    epoch : int, optional
        Of the checkpoint.
    """
    return {
        "speechbrain_interface": "MALEnhancement",
        "speechbrain_mal": {
            "format": FORMAT,
            "version": __version__,
            "speechbrain": version("speechbrain"),
            "torch": torch.__version__,
            "system": settings["system"],
            "sample_rate": settings["sample_rate"],
            "epoch": epoch,
            "model": model,
        },
    }


def load_folder(folder: str | os.PathLike) -> tuple[nn.Module, int]:
    """Load an exported folder: `config.json` and the weights, and nothing else of it.

    Arguments
    ---------
    folder : path
        What `speechbrain-mal export` wrote, or anybody.

    Returns
    -------
    nn.Module
        The enhancer on the CPU, with its weights.
    int
        Its sampling rate in Hz.

    Raises
    ------
    ValueError
        When it is of another format, or anything in it is not as it has to be; the
        message names the file and the key.
    """
    where = printable(Path(folder, CONFIG))
    block = _block(folder)
    if block["format"] == 1:
        raise ValueError(
            f"{where}: format 1, of a version whose folders are YAML, which is no "
            f"longer read: `speechbrain-mal convert {printable(folder)}` rewrites it."
        )
    if missing := {"sample_rate", "model"} - block.keys():
        raise ValueError(f"{where}: it has no {' and no '.join(sorted(missing))}.")
    if block["model"] is None:
        raise ValueError(
            f"{where}: model is null; the folder was exported for SpeechBrain's own "
            "interface alone, since its network is not made of plain values."
        )
    return _enhancer(folder, block, where), block["sample_rate"]


def _enhancer(folder: str | os.PathLike, block: dict, where: str) -> nn.Module:
    """Build a network and load its weights, once it is known what they are."""
    rate = block["sample_rate"]
    with open_file(folder, WEIGHTS, WEIGHTS_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        network = build_model(block["model"], where, size)
        if (found := getattr(network, "sample_rate", None) or rate) != rate:
            raise ValueError(f"{where}: sample_rate is {rate}, and {found} in model.")
        load_weights(network, file, Path(folder, WEIGHTS))
    return network


def _block(folder: str | os.PathLike) -> dict[str, Any]:
    """Return what a folder's `config.json` says of it, of a format that is known."""
    where = printable(Path(folder, CONFIG))
    config = parse_json(read_bytes(folder, CONFIG, JSON_BYTES), where)
    block = config.get("speechbrain_mal") if isinstance(config, dict) else None
    if not isinstance(block, dict) or "format" not in block:
        raise ValueError(
            f"{where} is not of a folder that `speechbrain-mal export` wrote."
        )
    number = checked(block["format"], _BLOCK["format"], f"{where}: format")
    if number > FORMAT:
        raise ValueError(
            f"{where}: written by speechbrain-mal {shown(block.get('version'))}, in "
            f"format {number}; this version reads up to {FORMAT}. Upgrade: pip install "
            "-U speechbrain-mal."
        )
    checked(config, {"speechbrain_interface": str, "speechbrain_mal": _BLOCK}, where)
    return block


def convert(folder: str | os.PathLike) -> Path:
    """Rewrite the `config.json` of a folder of format 1, which had its network in YAML.

    The YAML is read as text, and nothing in it is executed; it stays as it is, for
    SpeechBrain's interfaces.

    Arguments
    ---------
    folder : path
        What an earlier version exported.

    Returns
    -------
    Path
        The file, written after the enhancer was loaded as it says.

    Raises
    ------
    ValueError
        When the folder is not of format 1, or its network is none of the registry.
    """
    from speechbrain_mal.hub.translate import child, spec_of, yaml_tree

    where, block = printable(Path(folder, HYPERPARAMS)), _block(folder)
    if block["format"] != 1:
        raise ValueError(f"{printable(folder)}: of format {block['format']} already.")
    root = yaml_tree(folder)
    model, rate = (
        spec_of(child(root, name, where), where) for name in ("enhancer", "sample_rate")
    )
    settings = {"system": block.get("system"), "sample_rate": rate}
    config = config_of(model, settings, block.get("epoch"))
    kept = {key: block[key] for key in ("speechbrain", "torch") if key in block}
    config["speechbrain_mal"] |= kept
    checked(config["speechbrain_mal"], _BLOCK, where)
    _enhancer(folder, config["speechbrain_mal"], where)  # can it be loaded?
    write_text(Path(folder, CONFIG), json.dumps(config, indent=2) + "\n")
    return Path(folder, CONFIG)
