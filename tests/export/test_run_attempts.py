"""What a stranger may put into a results folder: nothing of it is executed untold."""

import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from conftest import CONFIG

from speechbrain_mal import MALEnhancement, cli
from speechbrain_mal.export import export

APPLY = "!!python/object/apply:os.mkdir [ran]"
YAML = """\
system: baseline
sample_rate: 16000
data_folder: /nowhere
phase_two_epochs: 0
test_from: best
ckpt_metric: pesq
valid_metrics: [pesq]
modules:
    enhancer: !new:speechbrain_mal.models.DeepFilterNet2
        sample_rate: 16000
        channels: 8
        embedding_size: 32
        df_hidden_size: 32
"""


class Bomb:
    """Makes a folder where it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("ran",))


@pytest.fixture
def run(small_model, tmp_path, monkeypatch):
    """Return the folder of a run, as the recipe leaves it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    checkpoint = folder / "save" / "CKPT+a"
    checkpoint.mkdir(parents=True)
    (folder / "hyperparams.yaml").write_text(YAML)
    system = {
        "system": "baseline",
        "sample_rate": 16000,
        "data_folder": "/nowhere",
        "phase_two_epochs": 0,
        "test_from": "best",
        "ckpt_metric": "pesq",
        "valid_metrics": ["pesq"],
        "model": CONFIG["speechbrain_mal"]["model"],
    }
    (folder / "system.json").write_text(json.dumps(system))
    (checkpoint / "CKPT.yaml").write_text(
        "epoch: 1\nphase: 1\npesq: 2.0\nunixtime: 1\n"
    )
    torch.save(small_model.state_dict(), checkpoint / "enhancer.ckpt")
    return folder


SYSTEM, NOTES = "system.json", "save/CKPT+a/CKPT.yaml"
WEIGHTS, HYPERPARAMS = "save/CKPT+a/enhancer.ckpt", "hyperparams.yaml"


def written(name, text):
    return lambda run: (run / name).write_text(text)


def setting(**values):
    def make(run):
        known = json.loads((run / SYSTEM).read_text())
        (run / SYSTEM).write_text(json.dumps(known | values))

    return make


def replaced(name, make):
    def replace(run):
        (run / name).unlink()
        make(run / name)

    return replace


def linked(name):
    def link(run):
        shutil.move(run / name, run.parent / "outside")
        (run / name).symlink_to(run.parent / "outside")

    return link


def packed(run):
    """Pack the checkpoint: a gigabyte of zeros in a file of a megabyte."""
    with zipfile.ZipFile(run / WEIGHTS, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(64):
            archive.writestr(f"archive/data/{number}", bytes(1 << 22))


def without_system(text):
    def make(run):
        (run / SYSTEM).unlink()
        (run / HYPERPARAMS).write_text(text)

    return make


def poisoned(run):
    weights = torch.load(run / WEIGHTS, weights_only=True)
    weights["erb_dec.conv0_out.1.bias"][0] = torch.nan
    torch.save(weights, run / WEIGHTS)


NO_SYSTEM = r"system\.json does not say how .* --trust"
ATTEMPTS = {
    "no system": (without_system(YAML), NO_SYSTEM),
    "no system, and code": (without_system(YAML + f"x: {APPLY}\n"), NO_SYSTEM),
    "code as a setting": (
        without_system(YAML.replace("baseline", APPLY)),
        r"hyperparams\.yaml, line 1: no network in plain values",
    ),
    "code as an argument": (
        without_system(YAML.replace("16000\n        ch", f"{APPLY}\n        ch")),
        NO_SYSTEM,
    ),
    "code in a tuple": (without_system(YAML + f"x: ({APPLY})\n"), NO_SYSTEM),
    "no YAML": (without_system("x: [1"), r"hyperparams\.yaml: no YAML"),
    "a YAML of megabytes": (without_system("# " + "x" * (1 << 20)), "no more than"),
    "a class of another's": (
        setting(model={"class": "os.mkdir", "arguments": {"path": "ran"}}),
        r"system\.json, model\.class: 'os\.mkdir' is not registered",
    ),
    "an argument out of range": (
        setting(model={"class": "DeepFilterNet2", "arguments": {"channels": 10**9}}),
        r"system\.json, model\.arguments\.channels: a whole number",
    ),
    "a name with a line of YAML": (
        setting(system=f"x\nx: {APPLY}"),
        r"system\.json\.system: letters, digits",
    ),
    "a key more": (setting(code="x"), r"system\.json: 'code' is not one of"),
    "a key less": (written(SYSTEM, "{}"), r"system\.json: it has no ckpt_metric"),
    "another epoch": (
        setting(test_from="../x"),
        r"test_from: one of \['best', 'last'\]",
    ),
    "no JSON": (written(SYSTEM, "{"), r"system\.json: no plain JSON"),
    "a list": (written(SYSTEM, "[]"), r"system\.json: names with values"),
    "a link as system": (linked(SYSTEM), r"system\.json: a link"),
    "a pipe as system": (replaced(SYSTEM, os.mkfifo), r"system\.json: not a regular"),
    "a folder as system": (replaced(SYSTEM, os.mkdir), r"system\.json: not a regular"),
    "code in the notes": (
        written(NOTES, f"phase: {APPLY}"),
        "no checkpoint of phase 1",
    ),
    "code as a key": (written(NOTES, f"? {APPLY}\n: 1\n"), r"CKPT\.yaml has no names"),
    "no notes": (written(NOTES, "[1"), r"CKPT\.yaml: no YAML"),
    "notes in a list": (written(NOTES, "[phase, 1]"), r"CKPT\.yaml has no names"),
    "notes as text": (
        written(NOTES, "phase: 1\npesq: x\n"),
        "no checkpoint of phase 1",
    ),
    "merged notes": (
        written(NOTES, "a: &a {phase: 1}\n<<: [*a, *a]\n"),
        "no checkpoint of phase 1",
    ),
    "a pipe as notes": (replaced(NOTES, os.mkfifo), r"CKPT\.yaml: not a regular file"),
    "a link as notes": (linked(NOTES), r"CKPT\.yaml: a link"),
    "a pickle": (
        lambda run: (run / WEIGHTS).write_bytes(pickle.dumps(Bomb())),
        r"enhancer\.ckpt: no weights of a run",
    ),
    "a pickle in a checkpoint": (
        lambda run: torch.save({"x": Bomb()}, run / WEIGHTS),
        r"enhancer\.ckpt: no weights of a run",
    ),
    "a whole network": (
        lambda run: torch.save(torch.nn.Linear(1, 1), run / WEIGHTS),
        r"enhancer\.ckpt: no weights of a run",
    ),
    "a list of weights": (
        lambda run: torch.save([1, 2], run / WEIGHTS),
        r"enhancer\.ckpt: no weights of a run",
    ),
    "a sparse tensor": (
        lambda run: torch.save({"x": torch.ones(1).to_sparse()}, run / WEIGHTS),
        r"enhancer\.ckpt: no weights of a run",
    ),
    "a number as a weight": (
        lambda run: torch.save({"x": 1}, run / WEIGHTS),
        r"enhancer\.ckpt: no weights of a run",
    ),
    "others' weights": (
        lambda run: torch.save({"x": torch.ones(1)}, run / WEIGHTS),
        r"enhancer\.ckpt holds another model's weights: .* the same model settings",
    ),
    "weights that grow": (
        packed,
        r"enhancer\.ckpt: no weights of a run \(.*would grow",
    ),
    "weights cut": (lambda run: os.truncate(run / WEIGHTS, 500), "no weights of a run"),
    "a pipe as weights": (replaced(WEIGHTS, os.mkfifo), "not a regular file"),
    "a link as weights": (linked(WEIGHTS), r"enhancer\.ckpt: a link"),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_results_are_refused(name, run, tmp_path, capsys):
    make, message = ATTEMPTS[name]
    make(run)
    with pytest.raises(ValueError, match=message):
        export(run, tmp_path / "out")
    (tmp_path / "noisy").mkdir()
    soundfile.write(tmp_path / "noisy" / "a.wav", np.full(8000, 0.1), 16000)
    iterate = ["iterate", "run", "--noisy", "noisy", "--metrics", "dnsmos", "-o", "out"]
    for command in (["export", "run", "out"], iterate):
        assert cli.main(command) == 1
        assert capsys.readouterr().err.strip().isprintable()
    assert not (tmp_path / "out").exists() and not (tmp_path / "ran").exists()


def test_weights_that_are_none_are_not_exported(run, tmp_path):
    poisoned(run)
    with pytest.raises(ValueError, match="NaN or infinite values"):
        export(run, tmp_path / "out")


def test_code_beside_the_data_stays_where_it_is(run, tmp_path):
    (run / HYPERPARAMS).write_text(f"x: {APPLY}\ny: !apply:os.mkdir [ran]\n")
    for name in ("test.json", "scores_testset.csv"):
        os.mkfifo(run / name)  # would wait for ever
    (run / "scores_<img src=x>.csv").write_text("clip,pesq\na,1.0\n")
    (run / "scores_set.csv").write_text("clip,pesq,<script>\na,1.0,2.0\n")
    folder = export(run, tmp_path / "out")
    MALEnhancement.from_hparams(folder)
    assert not {"<img", "<script"} & set((folder / "README.md").read_text().split())
    text = (folder / HYPERPARAMS).read_text()
    assert "ran" not in text and not (tmp_path / "ran").exists()


def test_trusted_code_runs(run, tmp_path, capsys):
    """What `--trust` says of itself is true."""
    code = "!apply:os.makedirs {name: ran, exist_ok: True}"  # returns None
    text = YAML.replace("channels: 8", f"channels: 8\n        n_fft: {code}")
    without_system(text)(run)
    assert cli.main(["export", "run", "out", "--trust"]) == 0
    assert (tmp_path / "ran").exists()
    for command in ("export", "iterate"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert "EXECUTE the hyperparams.yaml of results" in capsys.readouterr().out


def test_compare_executes_nothing(run, tmp_path):
    (run / HYPERPARAMS).write_text(f"x: {APPLY}\n")
    (run / WEIGHTS).write_bytes(pickle.dumps(Bomb()))
    (run / "enhanced_testset").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    soundfile.write(run / "enhanced_testset" / "a.wav", noise, 16000)
    command = ["compare", "run", "--clean", str(run / "enhanced_testset")]
    cli.main(
        [*command, "--metrics", "lsd", "--listen", "0", "--jobs", "1", "-o", "scores"]
    )
    assert (tmp_path / "scores" / "comparison.json").exists()
    assert not (tmp_path / "ran").exists()
