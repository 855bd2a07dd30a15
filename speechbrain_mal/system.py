"""What a run trains, as plain data beside it: `system.json`.

A run's `hyperparams.yaml` is code. Who trains writes once what of it builds the
enhancer, so that whoever reads the folder later has nothing to execute.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import yaml

from speechbrain_mal.files import (
    JSON_BYTES,
    parse_json,
    printable,
    read_bytes,
    shown,
    write_text,
)
from speechbrain_mal.hub.folder import HYPERPARAMS
from speechbrain_mal.hub.registry import RATE
from speechbrain_mal.hub.schema import checked
from speechbrain_mal.hub.translate import child, spec_of, yaml_tree

SYSTEM = "system.json"
_BEST = {"best", "last"}


def _name(value: object, where: str, depth: int) -> str:
    """Return a system's name: it stands in cards, comments and tables."""
    if not re.fullmatch(r"[\w.+-]{1,100}", checked(value, str, where)):
        raise ValueError(f"{where}: letters, digits and _.+-, not {shown(value)}.")
    return value


SETTINGS = {
    "system": _name,
    "sample_rate": RATE,
    "data_folder": str,
    "phase_two_epochs": range(1_000_000),
    "test_from": _BEST,  # this and what follows: which checkpoint was tested
    "ckpt_metric": str,
    "valid_metrics": [str],
}


def write_system(folder: str | os.PathLike) -> Path:
    """Write `system.json` into the output folder of a run, from its `hyperparams.yaml`.

    A recipe calls it behind `speechbrain.create_experiment_directory`, on the main
    process. The YAML is read as a tree, and nothing is built. Where the enhancer is not
    made of plain values alone, `model` is null, and loading the run takes a word of
    trust.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "hyperparams.yaml").write_text('''
    ... system: baseline
    ... sample_rate: 16000
    ... data_folder: /corpora/VoiceBank
    ... phase_two_epochs: 0
    ... test_from: best
    ... ckpt_metric: pesq
    ... valid_metrics: [pesq]
    ... modules: {enhancer: !new:speechbrain_mal.models.DeepFilterNet2 {channels: 8}}
    ... ''')
    >>> _ = write_system(folder)
    >>> read_system(folder)["model"]
    {'class': 'DeepFilterNet2', 'arguments': {'channels': 8}}
    """
    root = yaml_tree(folder)
    content = plain_settings(root, str(Path(folder, HYPERPARAMS)))
    content["model"] = plain_enhancer(root)
    write_text(Path(folder, SYSTEM), json.dumps(content, indent=2) + "\n")
    return Path(folder, SYSTEM)


def read_system(folder: str | os.PathLike) -> dict[str, Any] | None:
    """Return what a run's `system.json` says; None where it has none.

    One that is damaged, or not as `write_system` writes it, is a ValueError.
    """
    if not os.path.lexists(Path(folder, SYSTEM)):
        return None
    where = printable(Path(folder, SYSTEM))
    content = parse_json(read_bytes(folder, SYSTEM, JSON_BYTES), where)
    kinds = {**SETTINGS, "model": lambda spec, where, depth: spec}
    checked(content, kinds, where)
    if missing := kinds.keys() - content.keys():
        raise ValueError(f"{where}: it has no {', '.join(sorted(missing))}.")
    return content


def plain_settings(root: yaml.Node, where: str) -> dict[str, Any]:
    """Return the settings of a run's YAML that say what it is, and its epoch."""
    values = {name: spec_of(child(root, name, where), where) for name in SETTINGS}
    return checked(values, SETTINGS, where)


def plain_enhancer(root: yaml.Node) -> dict[str, Any] | None:
    """Return what of a run's YAML builds the enhancer as data, if data can."""
    try:
        return spec_of(enhancer_node(root))
    except ValueError:  # something of the user's own
        return None


def enhancer_node(root: yaml.Node) -> yaml.Node:
    """Return what of a run's YAML builds the enhancer."""
    return child(child(root, "modules"), "enhancer")
