"""An exported folder: fetched, and what its `config.json` says as an enhancer."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    whole_file,
)
from speechbrain_mal.hub.registry import RATE, build_model
from speechbrain_mal.hub.schema import checked
from speechbrain_mal.hub.tensors import WEIGHTS_BYTES, load_weights, put_weights

if TYPE_CHECKING:
    from speechbrain.utils.fetching import FetchConfig

FORMAT = 2  # of the folder; a higher one needs a later version of this package
CONFIG, WEIGHTS, HYPERPARAMS = "config.json", "enhancer.safetensors", "hyperparams.yaml"
FILES = {CONFIG: JSON_BYTES, WEIGHTS: WEIGHTS_BYTES}  # what loading reads, and how much
BLOCK = {
    "format": range(1, 1000),
    **dict.fromkeys(("version", "speechbrain", "torch", "system"), (str, None)),
    "sample_rate": RATE,
    "epoch": (range(1_000_000_000), None),
    "model": lambda spec, where, depth: spec,  # `build_model` looks at it
}


def fetch_folder(
    source: str | os.PathLike,
    files: Mapping[str, int],
    savedir: str | os.PathLike | None = None,
    fetch_config: FetchConfig | None = None,
) -> Path:
    """Return a folder for the named files, of a repository all of the same commit.

    A local folder is used in place, whatever it holds. Of a repository it is the
    snapshot in huggingface_hub's cache, or `savedir`. Whenever there is network the hub
    is asked whether the revision has moved on; without, or when the hub does not let
    one in, the cache is used. ValueError when the source is neither, can't be reached,
    or lacks one of the files.

    Arguments
    ---------
    source : str or path
        A folder, or a hub id `user/name`.
    files : mapping of str to int
        The files, by their names in the folder, and the most bytes each may have.
    savedir : path, optional
        Where copies of a repository's files are put.
    fetch_config : FetchConfig, optional
        SpeechBrain's. `token=False` sends none, `True` the stored one, a string itself.
        `overwrite` and `allow_updates` have no effect: which of two commits a file is
        of never depends on what was there before.
    """
    source = os.fspath(source)
    if source and Path(source).is_dir():
        return Path(source)
    if Path(source).is_file():
        raise ValueError(f"'{source}' is a file; name the folder that holds it.")
    from speechbrain_mal.hub.repositories import is_repo_id, snapshot

    if not is_repo_id(source):
        raise ValueError(
            f"'{source}' is neither a folder nor a hub id; name a folder, or a hub id "
            f"as user/name.{_did_you_mean(source)}"
        )
    try:
        folder = snapshot(source, files, fetch_config)
    except ValueError as error:
        raise ValueError(f"{error}{_did_you_mean(source)}") from error.__cause__
    if savedir is None:
        return folder
    Path(savedir).mkdir(parents=True, exist_ok=True)
    for name, limit in files.items():
        with whole_file(Path(savedir, name)) as partial:
            partial.write_bytes(read_bytes(folder, name, limit))
    return Path(savedir)


def _did_you_mean(source: str) -> str:
    """Return a hint at a folder with nearly this name, if there is one."""
    path = Path(source)
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean the folder '{path.parent / near[0]}'?" if near else ""


def load_folder(folder: str | os.PathLike) -> tuple[nn.Module, int]:
    """Return the enhancer of an exported folder, on the CPU, and its rate in Hz.

    `config.json` and the weights are read, of anybody's making, and nothing else of it.
    ValueError when it is of another format, or anything in it is not as it has to be;
    the message names the file and the key.
    """
    where, block = read_config(folder)
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
    return load_enhancer(folder, block, where), block["sample_rate"]


def load_pretrained(enhancer: nn.Module, source: str | os.PathLike) -> None:
    """Load an exported enhancer's weights into a model that is to be trained further.

    The source is as of `fetch_folder`. ValueError when its model is another one or of
    another rate, and as `load_folder` does.
    """
    trained, rate = load_folder(fetch_folder(source, FILES))
    if getattr(enhancer, "sample_rate", None) not in (None, rate):
        raise ValueError(
            f"pretrained: {printable(source)} is for {rate} Hz and sample_rate is "
            f"{enhancer.sample_rate}: the weights would fit, but not the frequencies."
        )
    advice = f"Give the settings of {CONFIG} there (channels, hidden_size, ...)."
    where = f"pretrained: {printable(source)}"
    put_weights(enhancer, trained.state_dict(), where, advice)


def load_enhancer(folder: str | os.PathLike, block: dict, where: str) -> nn.Module:
    """Build a network and load its weights, once it is known what they are."""
    rate = block["sample_rate"]
    with open_file(folder, WEIGHTS, WEIGHTS_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        network = build_model(block["model"], where, size)
        if (found := getattr(network, "sample_rate", None) or rate) != rate:
            raise ValueError(f"{where}: sample_rate is {rate}, and {found} in model.")
        load_weights(network, file, Path(folder, WEIGHTS))
    return network


def read_config(folder: str | os.PathLike) -> tuple[str, dict[str, Any]]:
    """Return the name of a folder's `config.json`, and what it says of the folder."""
    where = printable(Path(folder, CONFIG))
    config = parse_json(read_bytes(folder, CONFIG, JSON_BYTES), where)
    block = config.get("speechbrain_mal") if isinstance(config, dict) else None
    if not isinstance(block, dict) or "format" not in block:
        raise ValueError(
            f"{where} is not of a folder that `speechbrain-mal export` wrote."
        )
    number = checked(block["format"], BLOCK["format"], f"{where}: format")
    if number > FORMAT:
        raise ValueError(
            f"{where}: written by speechbrain-mal {shown(block.get('version'))}, in "
            f"format {number}; this version reads up to {FORMAT}. Upgrade: pip install "
            "-U speechbrain-mal."
        )
    checked(config, {"speechbrain_interface": str, "speechbrain_mal": BLOCK}, where)
    return where, block


def config_of(model: dict | None, settings: dict[str, Any], epoch: int | None) -> dict:
    """Return what `config.json` holds; the model is data, see `registry.py`."""
    block = {"format": FORMAT, "version": __version__, "torch": torch.__version__}
    block |= {"speechbrain": version("speechbrain"), "epoch": epoch, "model": model}
    block |= {name: settings[name] for name in ("system", "sample_rate")}
    return {"speechbrain_interface": "MALEnhancement", "speechbrain_mal": block}
