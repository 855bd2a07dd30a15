"""An experiment that is killed goes on; a run with other settings is not taken."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from conftest import ROOT, SAMPLES

from experiments.run import main
from experiments.training import check_run
from speechbrain_mal.export.runs import read_run

TOY = {
    "recipe": "recipes/VoiceBank",
    "seeds": [1],
    "baseline": "baseline",
    "control": "baseline",
    "settings": {
        "channels": 8,
        "hidden_size": 32,
        "batch_size": 4,
        "crop_seconds": 0.25,
        "num_workers": 0,
        "valid_metrics": ["si_sdr"],
        "test_metrics": ["si_sdr"],
        "ckpt_metric": "df",
    },
    "phase_one": {"number_of_epochs": 1},
    # Three are left when it is killed.
    "phase_two": {"number_of_epochs": 0, "phase_two_epochs": 4},
    "systems": "systems.yaml",
    "sets": {
        "testset": {
            "noisy": "noisy_testset_wav_16k",
            "clean": "clean_testset_wav_16k",
            "enhanced": "enhanced_testset",
            "systems": ["baseline", "half", "remix"],
        },
        "validset": {"manifest": "valid.json", "systems": ["baseline", "half"]},
        "last": {
            "noisy": "noisy_testset_wav_16k",
            "clean": "clean_testset_wav_16k",
            "epoch": "last",
            "every": 2,
            "systems": ["half"],
        },
    },
    "remix": {"remix": 6},
    "self_consistency": {
        "systems": ["half"],
        "set": "testset",
        "clips": 2,
        "passes": 2,
        "metrics": ["si_sdr"],
    },
}
for entry in TOY["sets"].values():
    entry["metrics"] = ["si_sdr"]
SYSTEMS = {"baseline": {"phase_two_epochs": 0}, "half": {"mal_weight": 0.5}}


def run(monkeypatch, *arguments):
    """Run an experiment in this process; return the exit status."""
    monkeypatch.setattr(sys, "argv", ["experiments.run", *map(str, arguments)])
    return main()


def test_the_committed_baselines_are_taken_as_trained(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "experiments" / "baselines", tmp_path / "baseline")
    rerun = ROOT / "experiments" / "scores" / "rerun"
    places = ["--data_folder", SAMPLES, "--output", tmp_path, "--scores", rerun]
    assert not run(monkeypatch, "--plan", *places, "--only", "mse_feature")
    printed = capsys.readouterr().out
    for seed in ("1234", "1235", "1236"):
        assert f"          done  baseline/{seed}/train" in printed
        record = rerun / "records" / "baseline" / seed / "train.json"
        meta = read_run(tmp_path / "baseline" / seed).checkpoint.meta
        assert meta["epoch"] == json.loads(record.read_text())["best_epoch"]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with clips of the sample corpus: 8 train, 2 validate, 2 test."""
    for part, names in (
        ("trainset_28spk", "p22[78]_00* p23[01]_001* p226_001* p287_001*"),
        ("testset", "p232_00[12]*"),
    ):
        for kind in ("clean", "noisy"):
            source = SAMPLES / f"{kind}_{part}_wav_16k"
            target = tmp_path / "corpus" / source.name
            target.mkdir(parents=True)
            for name in names.split():
                for path in source.glob(name):
                    shutil.copy(path, target)
    return tmp_path


def arguments(folder):
    (folder / "toy.yaml").write_text(yaml.safe_dump(TOY))
    (folder / "systems.yaml").write_text(yaml.safe_dump(SYSTEMS))
    return [
        folder / "toy.yaml",
        *("--data_folder", folder / "corpus", "--device", "cpu"),
        *("--output", folder / "output", "--scores", folder / "scores"),
    ]


def killed_while_training(folder):
    """Start the experiment, and kill it and its training after the first epoch."""
    command = [sys.executable, "-m", "experiments.run", *arguments(folder)]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, cwd=ROOT
    )
    log = folder / "output" / "half" / "1" / "train_log.txt"
    for _ in range(12000):  # ten minutes, on a machine that does more
        if log.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() is None and log.exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_killed_in_a_training_and_given_again(folder, monkeypatch, capsys):
    killed_while_training(folder)
    scores, output = folder / "scores", folder / "output"
    assert not (scores / "testset" / "half").exists()
    assert not run(monkeypatch, *arguments(folder))
    printed = capsys.readouterr().out
    plan, _, _ = printed.partition(" left: ")
    assert "done  baseline/1/train" in plan and " s  half/1/train" in plan
    assert "12 of 12 steps are done." in printed
    for name, entry in TOY["sets"].items():
        clips = 2 // entry.get("every", 1)
        for path in (f"{system}/1.csv" for system in entry["systems"]):
            lines = (scores / name / path).read_text()
            assert len(lines.splitlines()) == 1 + clips
        assert (scores / name / "noisy" / "input.csv").exists()
    # Half of the noisy input is another score than none of it, nearer to the input's.
    noisy, remix, baseline = (
        float((scores / "testset" / path).read_text().split()[1].split(",")[1])
        for path in ("noisy/input.csv", "remix/1.csv", "baseline/1.csv")
    )
    assert abs(remix - noisy) < abs(baseline - noisy)
    passes = (scores / "self_consistency" / "half" / "1.csv").read_text()
    starts = [line[:4] for line in passes.splitlines()[1:]]
    assert starts == ["0,2,", "1,2,", "2,2,"]  # pass, and clips that have scores

    records = {
        system: scores / "records" / system / "1" / "train.json"
        for system in ("baseline", "half")
    }
    record = json.loads(records["half"].read_text())
    assert record["whole"] is False  # it was killed: its time is no estimate
    assert record["best_epoch"] in (1, 2, 3, 4) and record["chosen_by"] == "df"
    assert record["settings"]["flags"]["mal_weight"] == 0.5
    log = (output / "half" / "1" / "train_log.txt").read_text()
    epochs = [line.split(",")[0] for line in log.splitlines() if " - train" in line]
    assert epochs == [f"epoch: {i}" for i in range(1, 5)]  # resumed, not anew
    for path in scores.rglob("*.json"):  # they are committed
        text = path.read_text()
        assert str(folder) not in text and str(ROOT) not in text, path

    # A run that is there without a record, as one made by hand, is taken over: nothing
    # is trained again, so its time is no estimate, either.
    assert json.loads(records["baseline"].read_text())["whole"] is True
    records["baseline"].unlink()
    only = ["--only", "baseline", "testset"]
    assert not run(monkeypatch, *arguments(folder), *only)
    assert "done  noisy/input/score_testset" in capsys.readouterr().out  # no seed's
    assert json.loads(records["baseline"].read_text())["whole"] is False
    log = (output / "baseline" / "1" / "train_log.txt").read_text()
    assert log.count(" - train") == 1
    # The run in the folder is not the one that another YAML asks for.
    made = output / "half" / "1"
    start = json.loads((made / "started_from.json").read_text())
    check_run(made, {"phase_two_epochs": 4, "test_from": "last"}, start)
    with pytest.raises(ValueError, match="a run with phase_two_epochs: 4, and the exp"):
        check_run(made, {"phase_two_epochs": 3}, start)
    with pytest.raises(ValueError, match="from another training of the baseline"):
        check_run(made, {}, {"baseline/1/train": "another"})


def test_settings_that_are_null_or_of_an_object_are_compared(tmp_path):
    text = "batch_growth:\nmixing: !new:a.Mixing\n    p: 0.2\n    seed: !ref <seed>\n"
    (tmp_path / "hyperparams.yaml").write_text(text)
    check_run(tmp_path, {"batch_growth": None, "mixing": {"p": 0.2}}, {})
    for other in (
        {"batch_growth": {1: 2}},
        {"mixing": {"p": 0.3}},
        {"mixing": {"q": 1}},
    ):
        with pytest.raises(ValueError, match=f"holds a run with {next(iter(other))}: "):
            check_run(tmp_path, other, {})


def test_arguments(folder, monkeypatch, capsys):
    assert run(monkeypatch, *arguments(folder), "--only", "3") == 2
    assert "--only 3 names none of" in capsys.readouterr().err
