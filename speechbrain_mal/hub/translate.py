"""A network in HyperPyYAML and the same as plain data, both ways; nothing is built."""

import json
import os
from pathlib import Path
from typing import Any

import yaml

from speechbrain_mal.files import printable, read_bytes, shown, write_text
from speechbrain_mal.hub.folder import (
    BLOCK,
    CONFIG,
    HYPERPARAMS,
    config_of,
    load_enhancer,
    read_config,
)
from speechbrain_mal.hub.registry import path_of
from speechbrain_mal.hub.schema import checked

_YAML_BYTES, _MOST, _DEEPEST = 1 << 16, 5000, 40
_STANDARD = "tag:yaml.org,2002:"
_OURS = "speechbrain_mal."


def yaml_tree(folder: str | os.PathLike, name: str = HYPERPARAMS) -> yaml.Node:
    """Return the tree of a YAML file in a folder; nothing in it is built or executed.

    ValueError when there is none, or it is no YAML.
    """
    text = read_bytes(folder, name, _YAML_BYTES)
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = printable(Path(folder, name))
        raise ValueError(f"{where}: no YAML ({printable(error)[:200]}).") from error


def spec_of(node: yaml.Node, where: str = HYPERPARAMS) -> Any:
    """Return a node of a YAML's tree, as of `yaml.compose`, as `config.json` has it.

    ValueError when it says more than networks and plain values; it names the file, by
    `where`, and the line.
    """
    return _spec(node, where, [], 0)


def _spec(node: yaml.Node, where: str, seen: list[int], depth: int) -> Any:
    kind, _, target = str(node.tag).partition(":")
    seen.append(id(node))
    if depth > _DEEPEST or len(seen) > _MOST:  # aliases can repeat, and form rings
        raise ValueError(_said(node, where, "more than a network takes"))
    if isinstance(node, yaml.SequenceNode) and node.tag == _STANDARD + "seq":
        return [_spec(one, where, seen, depth + 1) for one in node.value]
    if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_STANDARD):
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, yaml.YAMLError):
            kind = ""
    if kind not in ("!new", "!name") or isinstance(node, yaml.SequenceNode):
        what = "its arguments have no names" if kind in ("!new", "!name") else node.tag
        raise ValueError(_said(node, where, f"no network in plain values ({what})"))
    if seen.count(id(node)) > 1:  # it would become two
        raise ValueError(_said(node, where, "a network that stands in two places"))
    given = entries(node, where) if isinstance(node, yaml.MappingNode) else {}
    return {
        "class": target.rpartition(".")[2] if target.startswith(_OURS) else target,
        "arguments": {k: _spec(v, where, seen, depth + 1) for k, v in given.items()},
        **({"later": True} if kind == "!name" else {}),
    }


def _said(node: yaml.Node, where: str, what: str) -> str:
    return f"{where}, line {node.start_mark.line + 1}: {shown(what)[1:-1]}."


def entries(node: yaml.Node | None, where: str = HYPERPARAMS) -> dict:
    """Return a mapping's values, which are nodes, by its keys."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else None
    if pairs is None or not all(isinstance(key, yaml.ScalarNode) for key, _ in pairs):
        raise ValueError(f"{where} has no names with values where it should.")
    return {key.value: value for key, value in pairs}


def child(node: yaml.Node, key: str, where: str = HYPERPARAMS) -> yaml.Node:
    """Return the value of a key of a mapping."""
    found = entries(node, where)
    if key not in found:
        raise ValueError(f"{where} has no {key!r}.")
    return found[key]


def enhancer_yaml(node: yaml.Node) -> str:
    """Return the text of a YAML file that says `enhancer: ` and this."""
    pairs = [(yaml_of("enhancer"), node)]
    root = yaml.MappingNode(_STANDARD + "map", pairs, flow_style=False)
    return yaml.serialize(root, indent=4)


def yaml_of(spec: Any) -> yaml.Node:
    """Return a network as the YAML node from which SpeechBrain builds it."""
    if isinstance(spec, list):
        nodes = [yaml_of(one) for one in spec]
        return yaml.SequenceNode(_STANDARD + "seq", nodes, flow_style=True)
    if not isinstance(spec, dict):
        return yaml.representer.SafeRepresenter().represent_data(spec)
    tag = ("!name:" if spec.get("later") else "!new:") + path_of(spec["class"])
    pairs = [(yaml_of(k), yaml_of(value)) for k, value in spec["arguments"].items()]
    if not pairs:
        return yaml.ScalarNode(tag, "")
    return yaml.MappingNode(tag, pairs, flow_style=False)


def convert(folder: str | os.PathLike) -> Path:
    """Rewrite the `config.json` of a folder of format 1, which had its network in YAML.

    The YAML is read as text, and nothing in it is executed; it stays as it is, for
    SpeechBrain's interfaces. Returns the file, written after the enhancer was loaded as
    it says. ValueError when the folder is not of format 1, or its network is none of
    the registry.
    """
    where, (_, old) = printable(Path(folder, HYPERPARAMS)), read_config(folder)
    if old["format"] != 1:
        raise ValueError(f"{printable(folder)}: of format {old['format']} already.")
    root = yaml_tree(folder)
    model, rate = (
        spec_of(child(root, name, where), where) for name in ("enhancer", "sample_rate")
    )
    settings = {"system": old.get("system"), "sample_rate": rate}
    config = config_of(model, settings, old.get("epoch"))
    block = config["speechbrain_mal"]
    block |= {key: old[key] for key in ("speechbrain", "torch") if key in old}
    load_enhancer(folder, checked(block, BLOCK, where), where)  # can it be loaded?
    write_text(Path(folder, CONFIG), json.dumps(config, indent=2) + "\n")
    return Path(folder, CONFIG)
