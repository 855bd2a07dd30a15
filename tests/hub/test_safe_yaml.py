"""YAML builds networks; whatever else it says is refused before it runs."""

import os
import subprocess
import sys

import pytest
import torch

from speechbrain_mal.hub.safe_yaml import UnsafeYAMLError, load_safely

PYTHON = "tag:yaml.org,2002:python/object/apply:os.system"
# Every one runs its command, or reaches what would, in hyperpyyaml's own loader.
ATTACKS = {
    "apply": "x: !apply:os.system [{run}]",
    "applyref, at the first reading": "x: !applyref:os.system [{run}]",
    "python object": "x: !!python/object/apply:os.system [{run}]",
    "verbatim tag": "x: !<" + PYTHON + "> [{run}]",
    "tag directive": "%TAG !e! tag:yaml.org,2002:python/\n---\n"
    "x: !e!object/apply:os.system [{run}]",
    "class": "x: !new:subprocess.Popen [[sh, -c, {run}]]",
    "escaped name": "x: !apply:os%2Esystem [{run}]",
    "nested": "x: {{y: [{{z: !new:torch.nn.Sequential [!apply:os.system [{run}]]}}]}}",
    "in a key": "? !apply:os.system [{run}]\n: 1",
    "anchor": "a: &a !apply:os.system [{run}]\nb: *a",
    "hidden name": "__x: !apply:os.system [{run}]",
    "tuple": "x: (!!python/object/apply:os.system [{run}])",
    "tuple out of a string": "a: '!!python/object/apply:os.system [{run}]'\n"
    "x: !ref (<a>)",
    "include": "x: !include:other.yaml",
    "module": "x: !module:subprocess",
    "function": "x: !name:os.system",
    "function of an allowed package": "x: !name:speechbrain.utils.fetching.fetch",
    "through a module of ours": "x: !new:speechbrain_mal.cli.argparse.Namespace",
    "through a module of theirs": "x: !new:speechbrain.utils.data_utils.os.system",
    "a class that reads pickles": "x: !new:speechbrain.lobes.models.beats.BEATs",
    "a class that is no network": "x: !new:speechbrain.utils.checkpoints.Checkpointer",
    "dunder": "x: !name:torch.nn.Linear.__init__",
    "attributes behind an object": "m: !new:torch.nn.Linear [1, 1]\n"
    "x: !ref <m.__init__.__globals__>",
    "tuple of Python": "x: !!python/tuple [1, 2]",
}


def attack(name, marker):
    return ATTACKS[name].format(run=f"touch {marker}")


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused_before_they_run(name, tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "other.yaml").write_text(attack("apply", marker))
    with pytest.raises(UnsafeYAMLError, match=r"line \d+: .*Nothing was executed"):
        load_safely("size: 3\n" * (name != "tag directive") + attack(name, marker))
    assert not marker.exists()


def test_the_attacks_are_real(tmp_path):
    # In a process of its own: hyperpyyaml's own loader runs them.
    for name in ("apply", "tuple", "tuple out of a string", "applyref, at the first"):
        name = next(full for full in ATTACKS if full.startswith(name))
        marker = tmp_path / str(len(list(tmp_path.iterdir())))
        code = "import sys, hyperpyyaml; hyperpyyaml.load_hyperpyyaml(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, attack(name, marker)])
        assert marker.exists(), name


@pytest.mark.parametrize("name", ["apply", "applyref, at the first reading", "tuple"])
def test_overrides_are_held_to_the_same(name, tmp_path):
    marker = tmp_path / "ran"
    text = attack(name, marker)
    with pytest.raises(UnsafeYAMLError, match="overrides, line 1"):
        load_safely("x: 1", text)
    if name == "tuple":  # as a value, too
        with pytest.raises(UnsafeYAMLError, match="overrides, line 1"):
            load_safely("x: 1", {"x": text.removeprefix("x: ")})
    with pytest.raises(UnsafeYAMLError, match="overrides: cannot represent"):
        load_safely("x: 1", {"x": os.system})
    assert not marker.exists()


def test_the_line_is_named():
    with pytest.raises(UnsafeYAMLError, match=r"^mine\.yaml, line 3: .*'!apply:os"):
        load_safely("a: 1\nb:\n    c: !apply:os.getcwd\n", name="mine.yaml")


def test_what_builds_networks_is_what_it_was():
    text = """
size: 4
kernel: (1, 3)
layers: !new:torch.nn.Sequential
    - !new:torch.nn.Conv2d
        in_channels: 1
        out_channels: !ref <size>
        kernel_size: !ref <kernel>
    - !new:torch.nn.ReLU
more: !new:speechbrain.nnet.containers.Sequential
    input_shape: [null, null, !ref <size> * 2]
    linear: !name:speechbrain.nnet.linear.Linear
        n_neurons: 3
weight: !ref <layers.training>
quoted: "(not a tuple: !!python/object)"
"""
    loaded = load_safely(text, {"size": 5})
    assert loaded["layers"][0].weight.shape == (5, 1, 1, 3)
    assert loaded["more"](torch.ones(1, 2, 10)).shape == (1, 2, 3)
    assert loaded["kernel"] == (1, 3) and loaded["weight"] is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "is no YAML"),
        ("- 1\n- 2", "no mapping"),
        ("", "no mapping"),
        ("a: !ref <b>", "not valid"),
    ],
)
def test_broken_yaml_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        load_safely(text)


def test_an_override_has_to_match():
    with pytest.raises(ValueError, match="Override 'b' not found"):
        load_safely("a: 1", {"b": 2})
