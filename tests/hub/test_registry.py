"""What a schema lets through, and what a network may take."""

import importlib
import re
import time

import pytest
import torch
from conftest import ROOT
from torch import nn

from speechbrain_mal.hub import registry
from speechbrain_mal.hub.registry import NETWORK, build_model, register_model
from speechbrain_mal.hub.schema import checked


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (range(1, 4), [1, 3], [0, 4, 1.0, True, "1", None, [1], {}]),
        ((0.0, 1.0), [0, 1, 0.5], [-1, 1.1, True, "0", None]),
        (bool, [True, False], [0, 1, "true", None]),
        ({"a", "b"}, ["a"], ["c", "", 1, None, ["a"]]),
        (str, ["", "x" * 1000], ["x" * 1001, 1, None]),
        ([bool], [[], [True]], [True, [1], [None], [True] * 65]),
        ((range(4), None), [0, None], [4, False, "0"]),
        ((range(4), [range(4)]), [0, [0, 3]], [[4], [[0]], "0"]),
        ({"a": bool}, [{}, {"a": True}], [{"b": True}, {"a": 1}, [], None]),
        ({"*": bool}, [{"x": True}], [{"a b": True}, {"": True}, {"x": 1}]),
    ],
)
def test_kinds(kind, right, wrong):
    for value in right:
        assert checked(value, kind, "config.json") == value
    for value in wrong:
        with pytest.raises(ValueError, match=r"config\.json.*: .*"):
            checked(value, kind, "config.json")


def test_a_network_takes_no_more_than_its_weights_pay_for():
    class Greedy(nn.Module):
        def __init__(self, size, how):
            super().__init__()
            zeros = torch.zeros(1 << 20)
            for _ in range(size):
                torch.ones(1 << 20) if how == "new" else zeros.clone()

    register_model("Greedy", Greedy, {"size": range(1 << 30), "how": {"new", "copy"}})
    for how in ("new", "copy"):
        spec = {"class": "Greedy", "arguments": {"size": 3, "how": how}}
        build_model(spec, "config.json", 1000)
        spec["arguments"]["size"] = 1 << 29  # 2 PB, or for ever
        with pytest.raises(ValueError, match="far larger than its file of weights"):
            build_model(spec, "config.json", 1000)


def test_nor_more_than_its_time(monkeypatch):
    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            weight = torch.zeros(1)
            with torch.no_grad():  # whose end must not be what is refused
                while True:
                    weight.add_(1)

    register_model("Slow", Slow, {})
    monkeypatch.setattr(registry, "SECONDS", 0.1)
    with pytest.raises(ValueError, match=r"it takes longer than 0\.1 s"):
        build_model({"class": "Slow", "arguments": {}}, "config.json", 1000)
    assert torch.is_grad_enabled()


def test_an_import_is_no_part_of_its_time(monkeypatch):
    load, waits = importlib.import_module, [0.3]

    def slow_import(*name):  # SpeechBrain's lazy modules import by it, too
        end = time.thread_time() + (waits.pop() if waits else 0)
        while time.thread_time() < end:
            pass
        return load(*name)

    monkeypatch.setattr(registry, "SECONDS", 0.1)
    monkeypatch.setattr(registry.importlib, "import_module", slow_import)
    linear = {"class": "speechbrain.nnet.linear.Linear", "later": True}
    linear["arguments"] = {"n_neurons": 2}
    arguments = {"input_shape": [None, None, 4], "linear": linear}
    spec = {"class": "speechbrain.nnet.containers.Sequential", "arguments": arguments}
    assert isinstance(build_model(spec, "config.json", 1000), nn.Module)


def test_whatever_a_constructor_raises_is_named():
    class Broken(nn.Module):
        def __init__(self, inner):
            raise AssertionError("\x1b[2J no")

    register_model("Broken", Broken, {"inner": NETWORK})
    inner = {"class": "torch.nn.Sigmoid", "arguments": {}}
    spec = {"class": "Broken", "arguments": {"inner": inner}}
    with pytest.raises(ValueError, match=r"it \(AssertionError: \\x1b\[2J no\)"):
        build_model(spec, "config.json", 1000)


def test_the_page_on_ones_own_model_registers_it():
    text = (ROOT / "docs" / "your_model.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    (block,) = [block for block in blocks if "register_model" in block]
    exec(block, {"__name__": "page"})
    spec = {"class": "my_package.Gain", "arguments": {"channels": 2}}
    assert build_model(spec, "config.json", 1000).network.out_channels == 2
