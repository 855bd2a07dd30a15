"""HyperPyYAML that builds enhancers and can't do anything else.

SpeechBrain's YAML is code: `!apply:os.system`, `!new:subprocess.Popen`, Python's own
object tags, and a tuple such as `(!!python/object/apply:os.system [...])` all run while
it is loaded. Here every tag is read first, and only `torch.nn.Module` classes out of a
list of modules, and two helpers of SpeechBrain's interface, may be named.
"""

import inspect
import io
import os
import pydoc
from collections.abc import Iterator
from typing import Any

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

# Modules whose networks may be built, and submodules where the name ends in a dot. Each
# was read: no constructor in them opens a file, fetches, or calls what it did not make.
NETWORKS = (
    "torch.nn.modules.",
    "speechbrain.nnet.",
    "speechbrain.lobes.models.CRDNN",
    "speechbrain.lobes.models.EnhanceResnet",
    "speechbrain.lobes.models.MetricGAN",
    "speechbrain.lobes.models.conv_tasnet",
    "speechbrain.lobes.models.dual_path",
    "speechbrain.lobes.models.resepformer",
    "speechbrain.lobes.models.segan_model",
    "speechbrain.lobes.models.transformer.",
    "speechbrain_mal.hub.weights",
    "speechbrain_mal.models.adapters",
    "speechbrain_mal.models.deepfilternet2",
    "speechbrain_mal.models.frontend",
    "speechbrain_mal.models.tapped",
)
HELPERS = (
    "speechbrain.dataio.preprocess.AudioNormalizer",
    "speechbrain_mal.hub.weights.SafetensorsPretrainer",
)
_STANDARD = "tag:yaml.org,2002:"
_PLAIN = {
    _STANDARD + name
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "omap")
}
_REFERENCES = {"!ref", "!copy", "!PLACEHOLDER"}


class UnsafeYAMLError(ValueError):
    """A YAML file asks for more than building an enhancer."""


def load_safely(
    text: str, overrides: dict | str | None = None, name: str = "hyperparams.yaml"
) -> dict[str, Any]:
    r"""Load HyperPyYAML, or refuse it before anything in it is executed.

    Arguments
    ---------
    text : str
        The file's text.
    overrides : dict or str, optional
        As of `load_hyperpyyaml`, held to the same rules. Each has to match a key.
    name : str
        What errors call the file.

    Returns
    -------
    dict
        As of `load_hyperpyyaml`.

    Raises
    ------
    UnsafeYAMLError
        When a tag is not allowed; it names the line.
    ValueError
        When the text is no YAML mapping, a reference leads nowhere, or an override
        does not match.

    Example
    -------
    >>> load_safely("size: 2\nlayer: !new:torch.nn.Linear [!ref <size>, 3]")["layer"]
    Linear(in_features=2, out_features=3, bias=True)
    >>> load_safely("x: !apply:os.system [ls]")
    Traceback (most recent call last):
    ...
    speechbrain_mal.hub.safe_yaml.UnsafeYAMLError: hyperparams.yaml, line 1: ...
    """
    _check(_parse(text, name), name)
    if overrides:
        if not isinstance(overrides, str):
            overrides = _dump(overrides)
        _check(_parse(overrides, "overrides"), "overrides")
    try:
        resolved = resolve_references(text, overrides, overrides_must_match=True)
        return load_hyperpyyaml(resolved.getvalue(), loader=_checking_loader(name))
    except KeyError as error:
        raise ValueError(f"{name}: {error.args[0]}") from error
    except ruamel.yaml.YAMLError as error:
        raise ValueError(f"{name} is no YAML: {error}") from error


def _parse(text: str, name: str) -> Node:
    """Return the tree that hyperpyyaml's first reading sees."""
    try:
        root = ruamel.yaml.YAML().compose(text)
    except ruamel.yaml.YAMLError as error:
        raise ValueError(f"{name} is no YAML: {error}") from error
    if not isinstance(root, MappingNode):
        raise ValueError(f"{name} is no mapping of names to values.")
    return root


def _dump(overrides: dict) -> str:
    """Return overrides as text: objects that YAML can't write are refused."""
    stream = io.StringIO()
    try:
        ruamel.yaml.YAML().dump(overrides, stream)
    except ruamel.yaml.YAMLError as error:
        raise UnsafeYAMLError(f"overrides: {error}") from error
    return stream.getvalue()


def _checking_loader(name: str) -> type:
    """Return a loader that checks the very tree it then builds from.

    References can put tags and tuples together that stand nowhere in the file.
    """

    # hyperpyyaml adds its constructors to the class: each load gets a class of its own.
    class CheckingLoader(ruamel.yaml.SafeLoader):
        def get_single_node(self) -> Node:
            root = super().get_single_node()
            _check(root, f"{name} with its references resolved")
            return root

    return CheckingLoader


def _check(root: Node, name: str) -> None:
    for node in _nodes(root):
        try:
            _check_node(node)
        except UnsafeYAMLError as error:
            line = node.start_mark.line + 1
            raise UnsafeYAMLError(
                f"{name}, line {line}: {error} Nothing was executed. If you trust its "
                "author, load it with trust_remote_code=True."
            ) from None


def _nodes(root: Node) -> Iterator[Node]:
    """Yield every node of a tree once; anchors may make it a graph, even a ring."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            waiting += node.value


def _check_node(node: Node) -> None:
    tag = str(node.tag)
    if isinstance(node, ScalarNode) and node.value.lstrip().startswith("("):
        # Unless it is quoted, hyperpyyaml reads the inside with Python's object tags.
        _check_tuple(node.value)
    if tag in _PLAIN or tag in _REFERENCES or tag == "!tuple":
        return
    kind, _, target = tag.partition(":")
    if kind in ("!new", "!name"):
        _check_constructor(target)
    elif tag == "!apply:getattr":  # what hyperpyyaml makes of <encoder.front_end>
        _check_getattr(node)
    else:
        raise UnsafeYAMLError(f"the tag {tag!r} is not allowed.")


def _check_tuple(text: str) -> None:
    """Refuse a tuple with anything but plain values in it."""
    inside = "[" + text.strip()[1:-1] + "]"
    try:
        root = ruamel.yaml.YAML(typ="safe", pure=True).compose(inside)
    except ruamel.yaml.YAMLError:
        return  # no YAML for either reader
    for node in _nodes(root):
        if str(node.tag) not in _PLAIN:
            raise UnsafeYAMLError(f"the tuple {text!r} has the tag {node.tag!r} in it.")


def _check_constructor(target: str) -> None:
    """Refuse what is no network of the allowed modules, whatever it is reached by."""
    message = f"{target!r} is not among what may be built."
    # pydoc walks attributes, too: `speechbrain_mal.cli.os` is the module os.
    if target.partition(".")[0] not in ("torch", "speechbrain", "speechbrain_mal"):
        raise UnsafeYAMLError(message)
    if any(part.startswith("_") for part in target.split(".")):
        raise UnsafeYAMLError(message)
    try:
        found = pydoc.locate(target)
    except Exception as error:  # of an import: an optional package is missing, say
        raise UnsafeYAMLError(f"{message} ({error})") from error
    if not inspect.isclass(found):
        raise UnsafeYAMLError(message)
    full = f"{found.__module__}.{found.__qualname__}"
    if full not in HELPERS and not (_is_network(found) and _is_listed(full)):
        raise UnsafeYAMLError(message)


def _is_network(found: type) -> bool:
    from torch import nn

    return issubclass(found, nn.Module)


def _is_listed(full: str) -> bool:
    return any(
        full.startswith(known if known.endswith(".") else known + ".")
        for known in NETWORKS
    )


def _check_getattr(node: Node) -> None:
    """Refuse attributes by which one reaches what Python keeps behind an object."""
    if not (isinstance(node, SequenceNode) and len(node.value) == 2):
        raise UnsafeYAMLError("the tag '!apply:getattr' takes an object and a name.")
    attribute = node.value[1].value
    if not isinstance(attribute, str) or any(
        not part.isidentifier() or part.startswith("_") for part in attribute.split(".")
    ):
        raise UnsafeYAMLError(f"the attribute {attribute!r} is not allowed.")


def read_text(path: str | os.PathLike) -> str:
    """Return a YAML file's text, or say that it is none.

    Raises
    ------
    ValueError
        When it is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no YAML: it is not text.") from error
