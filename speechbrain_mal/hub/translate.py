"""A network in HyperPyYAML and the same as plain data, both ways; nothing is built."""

import os
from pathlib import Path
from typing import Any

import yaml

from speechbrain_mal.files import printable, read_bytes, shown
from speechbrain_mal.hub.registry import model_named

_YAML_BYTES, _MOST, _DEEPEST = 1 << 16, 5000, 40
_STANDARD = "tag:yaml.org,2002:"
_OURS = "speechbrain_mal."


def yaml_tree(folder: str | os.PathLike, name: str = "hyperparams.yaml") -> yaml.Node:
    """Return the tree of a YAML file in a folder; nothing in it is built or executed.

    Raises
    ------
    ValueError
        When there is none, or it is no YAML.
    """
    text = read_bytes(folder, name, _YAML_BYTES)
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = printable(Path(folder, name))
        raise ValueError(f"{where}: no YAML ({printable(error)[:200]}).") from error


def spec_of(node: yaml.Node, where: str = "hyperparams.yaml") -> Any:
    """Return a node of a YAML's tree as `config.json` has it.

    Arguments
    ---------
    node : yaml.Node
        Of `yaml.compose`; its references are resolved.
    where : str
        What errors call the file.

    Raises
    ------
    ValueError
        When it says more than networks and plain values; it names the line.

    Example
    -------
    >>> text = "!new:speechbrain_mal.models.DeepFilterNet2 {channels: 8}"
    >>> spec_of(yaml.compose(text))
    {'class': 'DeepFilterNet2', 'arguments': {'channels': 8}}
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


def entries(node: yaml.Node | None, where: str = "hyperparams.yaml") -> dict:
    """Return a mapping's values, which are nodes, by its keys."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else None
    if pairs is None or not all(isinstance(key, yaml.ScalarNode) for key, _ in pairs):
        raise ValueError(f"{where} has no names with values where it should.")
    return {key.value: value for key, value in pairs}


def child(node: yaml.Node, key: str, where: str = "hyperparams.yaml") -> yaml.Node:
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
    """Return a network as the YAML node from which SpeechBrain builds it.

    Example
    -------
    >>> spec = {"class": "DeepFilterNet2", "arguments": {"channels": 8}}
    >>> print(yaml.serialize(yaml_of(spec)), end="")
    !new:speechbrain_mal.models.DeepFilterNet2
    channels: 8
    """
    if isinstance(spec, list):
        nodes = [yaml_of(one) for one in spec]
        return yaml.SequenceNode(_STANDARD + "seq", nodes, flow_style=True)
    if not isinstance(spec, dict):
        return yaml.representer.SafeRepresenter().represent_data(spec)
    model = model_named(spec["class"])
    kind = "!name:" if spec.get("later") else "!new:"
    tag = kind + (model.path if model else spec["class"])
    pairs = [(yaml_of(k), yaml_of(value)) for k, value in spec["arguments"].items()]
    if not pairs:
        return yaml.ScalarNode(tag, "")
    return yaml.MappingNode(tag, pairs, flow_style=False)
