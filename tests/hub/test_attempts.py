"""What a stranger may put into a folder: each attempt ends in an error that names it.

Every one is made on a folder that loads. Most were made by hand against the loader of
format 1, which executed a checked YAML; some of those ran.
"""

import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import speechbrain.lobes.models.conv_tasnet  # noqa: F401  (no part of a refusal's time)
import torch
from safetensors.torch import load_file, save, save_file

from speechbrain_mal import MALEnhancement, cli

WEIGHTS = "enhancer.safetensors"
MISSING = object()


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


# ----------------------------------------------------- YAML, which is never read: loads

RUN = "touch ran"
APPLY = f"!!python/object/apply:os.system [{RUN}]"
YAML = {
    "a tuple in a tagged scalar": f'x: !tuple "[{APPLY}]"',
    "a tuple behind a blank": f'x: !tuple " (, {APPLY})"',
    "a tuple in a literal block": f"x: !tuple |-\n  ({APPLY})",
    "a tuple": f"x: ({APPLY})",
    "apply": f"x: !apply:os.system [{RUN}]",
    "apply by reference": f"x: !applyref:os.system [{RUN}]",
    "a python object": f"x: {APPLY}",
    "a class": f"x: !new:subprocess.Popen [[sh, -c, {RUN}]]",
    "a chain of attributes": "w: !new:torch.nn.Linear [1, 1]\n"
    "n: !apply:getattr [!ref <w.weight.data>, numpy]\n"
    "a: !new:speechbrain.nnet.adapters.HoulsbyAdapterLinear\n"
    "    {target_linear: !ref <w>, projection_size: 1, activation: !ref <n>}\n"
    "t: !apply:getattr [!ref <a>, activation.tofile]\n"
    "x: !new:speechbrain.nnet.adapters.AdaptedModel {model_to_adapt: !ref <w>,\n"
    "    adapter_class: !ref <t>, all_linear: True, adapter_kwargs: {file: ran}}",
    "arithmetic": "a: 9\nx: !ref <a>**9**9**9",
    "aliases ten deep": "a0: &a0 [1, 1]\n"
    + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 11)),
    "800 KB in one list": f"x: [{'1, ' * 270_000}1]",
    "ten million layers": "x: !new:torch.nn.LSTM [1, 1, 10000000]",
    "an include": "x: !include:/etc/passwd",
    "no YAML": "x: [1, 2",
    "another pretrainer": "pretrainer: !new:speechbrain.utils.parameter_transfer."
    "Pretrainer\n    paths: {enhancer: ../secret}",
    "a loadable outside": "pretrainer: !new:speechbrain_mal.hub.weights."
    'SafetensorsPretrainer\n    loadables: {"../secret": !new:torch.nn.Linear [1, 1]}',
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_is_never_read(name, exported, monkeypatch):
    monkeypatch.chdir(exported)
    (exported / "hyperparams.yaml").write_text(YAML[name])
    MALEnhancement.from_hparams(exported)
    assert not (exported / "ran").exists()


def test_the_first_of_them_are_real(tmp_path):
    """In a process of its own: SpeechBrain's loader runs them."""
    for name in list(YAML)[:5]:
        code = "import sys, hyperpyyaml; hyperpyyaml.load_hyperpyyaml(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, YAML[name]], cwd=tmp_path)
        (tmp_path / "ran").unlink()


# ---------------------------------------------------------------- config.json: refused


def changed(*path_and_value):
    """Return a config with the value at a path: a key of its block, or further in."""
    *path, value = path_and_value

    def change(config):
        inside = config["speechbrain_mal"]
        for key in path[:-1]:
            inside = inside[key]
        if value is MISSING:
            del inside[path[-1]]
        else:
            inside[path[-1]] = value
        return json.dumps(config)

    return change


def argument(name, value):
    return changed("model", "arguments", name, value)


def network(name, **arguments):
    return {"class": name, "arguments": arguments}


def model(name, **arguments):
    return changed("model", network(name, **arguments))


def later(name, **arguments):
    return {**network(name, **arguments), "later": True}


def nested(depth):
    inner = network("torch.nn.Sigmoid")
    for _ in range(depth):
        name = "speechbrain.nnet.containers.Sequential"
        inner = network(name, input_shape=[None, None, 9], a=inner)
    return inner


def text(value):
    return lambda config: value


NNET, LOBES = "speechbrain.nnet.", "speechbrain.lobes.models."
LSTM, SEQUENTIAL = f"{NNET}RNN.LSTM", f"{NNET}containers.Sequential"
CONFIGS = {
    # what the file is
    "empty": (text(""), "no plain JSON"),
    "no JSON": (text("sample_rate: 16000"), "no plain JSON"),
    "no UTF-8": (text(b'{"speechbrain_mal": "\xff"}'), "no plain JSON"),
    "UTF-16": (text('{"a": 1}'.encode("utf-16")), "no plain JSON"),
    "a list": (text("[]"), "is not of a folder that"),
    "null": (text("null"), "is not of a folder that"),
    "nested 50,000 deep": (text("[" * 50_000), "no plain JSON"),
    "nested objects": (text('{"a":' * 9000 + "1" + "}" * 9000), "no plain JSON"),
    "nested as deep as it gets": (
        lambda c: json.dumps(c).replace("8,", "[" * 600 + "]" * 600 + ",", 1),
        r"channels: a whole number .*, not \[\[",
    ),
    "a megabyte": (text('{"a": "' + "x" * 1_000_000 + '"}'), "no more than 65536"),
    "a key twice": (
        lambda c: json.dumps(c)[:-1] + ', "speechbrain_mal": {"format": 2}}',
        "the key 'speechbrain_mal' stands there twice",
    ),
    "a huge number": (
        lambda c: json.dumps(c).replace("16000", "9" * 60_000, 1),
        "is too large",
    ),
    "a large float": (lambda c: json.dumps(c).replace("16000", "1e999"), "too large"),
    "NaN": (argument("channels", float("nan")), "'NaN' is too large, or none"),
    "infinity": (argument("channels", float("inf")), "'Infinity' is too large"),
    "a key of another's": (
        lambda c: json.dumps({**c, "auto_map": {"AutoModel": "evil.Model"}}),
        "'auto_map' is not one of its names",
    ),
    # what it says of itself
    "no format": (changed("format", MISSING), "is not of a folder that"),
    "format 3": (changed("format", 3), "in format 3; this version reads up to 2"),
    "format 0": (changed("format", 0), "format: a whole number from 1"),
    "format as text": (changed("format", "2"), "format: a whole number"),
    "format as float": (changed("format", 2.0), "format: a whole number"),
    "format true": (changed("format", True), "format: a whole number .* not True"),
    "format 1 again": (changed("format", 1), "speechbrain-mal convert"),
    "a terminal's escapes": (
        lambda c: json.dumps({"speechbrain_mal": {"format": 9, "version": "\x1b[2J"}}),
        r"'\\x1b\[2J', in format 9",
    ),
    "half a surrogate": (changed("\ud800", 1), r"'\\ud800' is not one of"),
    "a long version": (changed("version", "1" * 5000), "version: a short text, not"),
    "a version that is none": (changed("version", {"a": 1}), "version: a short text"),
    "a class to import": (changed("loader", "os.system"), "'loader' is not one of"),
    "no sample rate": (changed("sample_rate", MISSING), "it has no sample_rate"),
    "0 Hz": (changed("sample_rate", 0), "sample_rate: a whole number from 4000"),
    "another rate": (changed("sample_rate", 48_000), "is 48000, and 16000 in model"),
    "an epoch as text": (changed("epoch", "=1+1"), "epoch: a whole number"),
    # the network
    "no model": (changed("model", MISSING), "it has no model"),
    "model null": (changed("model", None), "model is null"),
    "model a list": (changed("model", []), "model: class and arguments"),
    "no class": (changed("model", "class", MISSING), "model: class and arguments"),
    "no arguments": (changed("model", "arguments", MISSING), "class and arguments"),
    "a key more": (changed("model", "code", "x"), "model: class and arguments"),
    "os.system": (changed("model", "class", "os.system"), "'os.system' is not reg"),
    "builtins.eval": (model("builtins.eval"), "is not registered"),
    "subprocess.Popen": (
        model("subprocess.Popen", args="id"),
        "'subprocess.Popen' is not registered; .*register_model",
    ),
    "through a module of ours": (
        changed("model", "class", "speechbrain_mal.cli.argparse.Namespace"),
        "is not registered",
    ),
    "a class that reads pickles": (
        model("speechbrain.lobes.models.beats.BEATs"),
        "is not registered",
    ),
    "a class as a list": (changed("model", "class", ["os"]), r"\['os'\] is not reg"),
    "a class with escapes": (changed("model", "class", "\x1b]0;x\x07"), r"\\x1b\]0;x"),
    "a dunder": (changed("model", "class", "__import__"), "is not registered"),
    "an argument more": (argument("table", "/etc/passwd"), "'table' is not one of"),
    "a dunder as argument": (argument("__class__", 1), "'__class__' is not one of"),
    "self": (argument("self", 1), "'self' is not one of"),
    "no name of an argument": (argument("a b", 1), "'a b' is not one of"),
    "channels as text": (argument("channels", "8"), "channels: a whole number"),
    "channels as float": (argument("channels", 8.0), "channels: a whole number"),
    "channels true": (argument("channels", True), "channels: a whole number"),
    "channels null": (argument("channels", None), "channels: a whole number"),
    "channels a network": (
        argument("channels", network("torch.nn.Sigmoid")),
        "channels: a whole number",
    ),
    "no channels": (argument("channels", 0), "channels: a whole number from 1"),
    "minus eight": (argument("channels", -8), "channels: a whole number from 1"),
    "a billion channels": (argument("channels", 10**9), "channels: a whole number"),
    "4096 channels": (argument("channels", 4096), "far larger than its file"),
    "a large GRU": (argument("embedding_size", 4096), "far larger than its file"),
    "ten million layers": (argument("erb_layers", 10**7), "erb_layers: a whole number"),
    "32 layers": (argument("erb_layers", 32), "another model's weights: .* is missing"),
    "16 channels": (argument("channels", 16), r"is \[8, .* in the model"),
    "a prime of bands": (argument("erb_bands", 31), "no network can be built of it"),
    "a hop of nothing": (argument("hop_length", 0), "hop_length: a whole number"),
    "a hop that does not fit": (argument("hop_length", 17), "no network can be built"),
    "an FFT of a billion": (argument("n_fft", 1 << 30), "n_fft: a whole number"),
    # networks in networks
    "a hundred deep": (changed("model", nested(100)), "more than 12 networks within"),
    "64 wide and more": (
        model(SEQUENTIAL, **{f"a{i}": 1 for i in range(65)}),
        "names with values, 64 at most",
    ),
    "a layer that is no network": (
        model(SEQUENTIAL, a="os.system"),
        "model.arguments.a: class and arguments",
    ),
    "a layer of another's": (
        model(SEQUENTIAL, a=network("torch.load", f=WEIGHTS)),
        "arguments.a.class: 'torch.load' is not registered",
    ),
    "a shape of gigabytes": (
        model(SEQUENTIAL, input_shape=[1025] * 3, a=later(LSTM, hidden_size=1)),
        r"null for batch and time, not \[1025, 1025\]",
    ),
    "a layer whose output has 4 GB": (
        model(
            SEQUENTIAL,
            input_shape=[None, None, 1025],
            a=later(f"{NNET}CNN.Conv2d", out_channels=4096, kernel_size=1),
            b=later(LSTM, hidden_size=1),
        ),
        "computes far more than an enhancer's",
    ),
    "a thousand blocks, each built by running those before": (
        model(f"{LOBES}conv_tasnet.MaskNet", **dict.fromkeys("NBHPC", 1), X=32, R=32),
        "it takes longer than",
    ),
    "a shape out of range": (
        model(SEQUENTIAL, input_shape=[None, None, 4096]),
        r"input_shape\[2\]: a whole number from 1 to 1025",
    ),
    "many copies": (
        model(
            f"{LOBES}dual_path.Dual_Path_Model",
            in_channels=16,
            out_channels=1024,
            num_layers=32,
            **dict.fromkeys(
                ("intra_model", "inter_model"),
                network(
                    f"{LOBES}dual_path.SBRNNBlock",
                    input_size=1024,
                    hidden_channels=1024,
                    num_layers=1,
                ),
            ),
        ),
        "far larger than its file",
    ),
    "a part of an object": (
        model("WaveformEnhancer", layers=["__class__.__init__"], time_dim=1),
        "no network can be built of it",
    ),
    "a part with blanks": (
        model("WaveformEnhancer", layers=["a b"]),
        "the name of a part",
    ),
    "a class for later": (changed("model", "later", True), "no network can be built"),
    "later as text": (changed("model", "later", "yes"), "later: true or false"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_are_refused(name, exported, monkeypatch):
    monkeypatch.chdir(exported)
    change, message = CONFIGS[name]
    path = exported / "config.json"
    content = change(json.loads(path.read_text()))
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before, start = sorted(os.listdir()), time.thread_time()
    with pytest.raises(ValueError, match=message) as error:
        MALEnhancement.from_hparams(exported)
    assert time.thread_time() - start < 4  # 120 s were possible
    assert "config.json" in str(error.value) or WEIGHTS in str(error.value)
    assert str(error.value).isprintable() and len(str(error.value)) < 1000
    assert sorted(os.listdir()) == before and torch.is_grad_enabled()


# -------------------------------------------------------------------- weights: refused


def tensors(change):
    """Return a change of the weights, in a file that is whole."""

    def make(path, outside):
        weights = load_file(path)
        change(weights)
        path.write_bytes(save(weights))

    return make


def header(change):
    """Return a change of the header; the tensors behind it stay."""

    def make(path, outside):
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        known = json.loads(content[8 : 8 + length])
        new = change(known)
        new = new if isinstance(new, bytes) else json.dumps(new or known).encode()
        path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])

    return make


def content(value):
    return lambda path, outside: path.write_bytes(value)


def entry(**values):
    """Return a change of one tensor's entry in the header."""
    return header(lambda known: known[NAME].update(values))


def poisoned(number):
    def poison(weights):
        weights[NAME][0] = number

    return tensors(poison)


WHOLE = "no whole file of weights"
NAME = "erb_dec.conv0_out.1.bias"  # one value
FILES = {
    # the values
    "a NaN": (poisoned(torch.nan), f"'{NAME}': NaN or infinite"),
    "infinity": (poisoned(-torch.inf), f"'{NAME}': NaN or infinite"),
    "int8": (
        tensors(lambda w: w.update({NAME: w[NAME].to(torch.int8)})),
        "torch.int8, not torch.float32",
    ),
    "complex": (
        tensors(lambda w: w.update({NAME: w[NAME].to(torch.complex64)})),
        "complex64, not|no whole file",
    ),
    "float64": (
        tensors(lambda w: w.update({NAME: w[NAME].double()})),
        "float64, not torch.float32",
    ),
    "float8": (
        tensors(lambda w: w.update({NAME: w[NAME].to(torch.float8_e5m2)})),
        "float8_e5m2, not",
    ),
    "integers": (
        tensors(lambda w: w.update({NAME: w[NAME].long()})),
        f"'{NAME}': torch.int64, not torch.float32",
    ),
    "a counter as float": (
        tensors(
            lambda w: w.update(
                {k: v.float() for k, v in w.items() if v.dtype == torch.int64}
            )
        ),
        "num_batches_tracked': torch.float32, not torch.int64",
    ),
    "one missing": (tensors(lambda w: w.pop(NAME)), f"{NAME} is missing"),
    "one more": (
        tensors(lambda w: w.update(extra=torch.ones(3))),
        "extra is not in the model",
    ),
    "one with escapes": (
        tensors(lambda w: w.update({"\x1b[2J": torch.ones(3)})),
        r"\\x1b\[2J is not in the model",
    ),
    "another shape": (
        tensors(lambda w: w.update({NAME: torch.ones(2)})),
        rf"{NAME} is \[2\], and \[1\] in the model",
    ),
    # the header
    "a pickle": (lambda p, o: p.write_bytes(pickle.dumps(Bomb(o))), WHOLE),
    "a checkpoint": (lambda p, o: torch.save({"x": Bomb(o)}, p), WHOLE),
    "a NumPy archive": (
        lambda p, o: np.savez(p.open("wb"), np.array([Bomb(o)], dtype=object)),
        WHOLE,
    ),
    "empty": (content(b""), WHOLE),
    "seven bytes": (content(b"\1" * 7), WHOLE),
    "a header of 2^63": (content(b"\xff" * 8 + b"{}"), WHOLE),
    "a header of its size": (content(struct.pack("<Q", 3) + b"{}"), WHOLE),
    "no tensors": (content(struct.pack("<Q", 2) + b"{}"), "is missing"),
    "a header of 3 MB": (
        header(lambda known: json.dumps(known).encode() + b" " * 3_000_000),
        "bytes, where the model",
    ),
    "no header": (header(lambda known: b"\0" * 64), WHOLE),
    "nested": (header(lambda known: b"[" * 100_000), WHOLE),
    "a list": (header(lambda known: b"[1]"), WHOLE),
    "a name twice": (
        header(lambda known: json.dumps(known).encode()[:-1] + b', "x": 1, "x": 2}'),
        WHOLE,
    ),
    "an entry that is none": (header(lambda k: k.update(x=3)), WHOLE),
    "no type": (entry(dtype=["F32"]), WHOLE),
    "another type": (entry(dtype="F16"), WHOLE),
    "a shape of a billion": (entry(shape=[10**9]), WHOLE),
    "a shape beyond 64 bits": (
        entry(shape=[10**17] * 8, data_offsets=[0, 4]),
        WHOLE,
    ),
    "a shape below 0": (entry(shape=[-1]), WHOLE),
    "a shape of floats": (entry(shape=[1.0]), WHOLE),
    "a shape of booleans": (entry(shape=[True]), WHOLE),
    "99 dimensions": (entry(shape=[1] * 99), rf"{NAME} is \[1, 1, .*\.\.\."),
    "no places": (entry(data_offsets=[]), WHOLE),
    "three places": (entry(data_offsets=[0, 4, 8]), WHOLE),
    "a place before the file": (entry(data_offsets=[-4, 0]), WHOLE),
    "a place behind the file": (
        entry(data_offsets=[10**12, 10**12 + 4]),
        WHOLE,
    ),
    "another's place": (entry(data_offsets=[0, 4]), WHOLE),
    "bytes behind the last": (
        lambda p, o: p.write_bytes(p.read_bytes() + b"\0" * 8),
        WHOLE,
    ),
    "cut": (lambda p, o: p.write_bytes(p.read_bytes()[:-4]), WHOLE),
    "cut in half": (lambda p, o: p.write_bytes(p.read_bytes()[:5000]), WHOLE),
    "sparse, 3 GiB": (lambda p, o: os.truncate(p, 3 << 30), "no more than 2147483648"),
    "sparse, 1 GiB": (lambda p, o: os.truncate(p, 1 << 30), "bytes, where the model"),
}


@pytest.mark.parametrize("name", FILES)
def test_weights_are_refused(name, exported, tmp_path):
    make, message = FILES[name]
    make(exported / WEIGHTS, tmp_path / "ran")
    with pytest.raises(ValueError, match=message) as error:
        MALEnhancement.from_hparams(exported)
    assert WEIGHTS in str(error.value) and str(error.value).isprintable()
    assert len(str(error.value)) < 1000 and not (tmp_path / "ran").exists()


# ------------------------------------------------------ what is no plain file: refused


def linked(target):
    def make(path, outside):
        path.rename(outside)
        path.symlink_to(outside if target is None else target)

    return make


def replaced(make_it):
    def make(path, outside):
        path.unlink()
        make_it(path)

    return make


def bound(path):
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # such names are short
        server.bind(path.name)


PLACES = {
    "a link out of the folder": (linked(None), "a link, which is not followed"),
    "a link within it": (linked("hyperparams.yaml"), "a link, which is not followed"),
    "a link to nothing": (linked("gone"), "a link, which is not followed"),
    "a link to itself": (replaced(lambda p: p.symlink_to(p)), "a link, which"),
    "a link to /dev/zero": (linked("/dev/zero"), "a link, which is not followed"),
    "a link to /proc": (linked("/proc/self/environ"), "a link, which is not followed"),
    "a pipe": (replaced(os.mkfifo), "not a regular file"),
    "a socket": (replaced(bound), "not a regular file"),
    "a folder": (replaced(os.mkdir), "not a regular file"),
    "nothing": (replaced(lambda path: None), "there is no such file"),
}


@pytest.mark.parametrize("file", ["config.json", WEIGHTS])
@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_file_is_refused(name, file, exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, message = PLACES[name]
    make(exported / file, tmp_path / "outside")
    with pytest.raises(ValueError, match=f"{file}: {message}"):
        MALEnhancement.from_hparams(exported)


def test_a_file_that_is_swapped_after_the_check_is_refused(exported, monkeypatch):
    path, real = exported / "config.json", os.lstat

    def swap(name, **options):
        before = real(name, **options)
        if str(name) == str(path):
            monkeypatch.setattr(os, "lstat", real)
            path.unlink()
            path.symlink_to("/etc/passwd")
        return before

    monkeypatch.setattr(os, "lstat", swap)
    with pytest.raises(
        ValueError, match=r"config\.json: a link, which is not followed"
    ):
        MALEnhancement.from_hparams(exported)


def test_a_name_with_escapes_is_written_out(exported, tmp_path, capsys):
    folder = exported.rename(tmp_path / "\x1b[31mred")
    (folder / "config.json").unlink()
    assert cli.main(["enhance", __file__, "-o", "x", "--model", str(folder)]) == 1
    assert capsys.readouterr().err.strip().isprintable()


def test_snapshots_of_the_hubs_cache_are_read_and_no_links_like_them(
    exported, tmp_path
):
    repository = tmp_path / "models--alice--mal"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, name in enumerate(("config.json", WEIGHTS)):
        (exported / name).rename(repository / "blobs" / str(number))
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    MALEnhancement.from_hparams(snapshot)
    (repository / "blobs").rename(tmp_path / "outside")
    (repository / "blobs").symlink_to(tmp_path / "outside")
    with pytest.raises(
        ValueError, match=r"config\.json: a link, which is not followed"
    ):
        MALEnhancement.from_hparams(snapshot)
    (repository / "blobs").unlink()
    (tmp_path / "outside").rename(repository / "blobs")
    (repository / "blobs" / "0").unlink()
    (repository / "blobs" / "0").symlink_to("/etc/passwd")
    with pytest.raises(
        ValueError, match=r"config\.json: a link, which is not followed"
    ):
        MALEnhancement.from_hparams(snapshot)


# ------------------------------------------------------------ what is right still loads


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_load(kind, exported):
    weights = load_file(exported / WEIGHTS)
    half = {k: v.to(kind) if v.is_floating_point() else v for k, v in weights.items()}
    save_file(half, exported / WEIGHTS)
    loaded = MALEnhancement.from_hparams(exported).mods.enhancer.state_dict()
    assert all(torch.equal(loaded[k], v.to(loaded[k].dtype)) for k, v in half.items())
