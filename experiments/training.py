"""Training one run of an experiment with the recipe's own `train.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.definition import Experiment
from experiments.machine import Machine
from experiments.steps import Step
from speechbrain_mal.export.runs import read_run
from speechbrain_mal.files import write_text

# May change when a run goes on: its name, and what is of the test alone.
_FREE = {"system", "test_from", "test_metrics", "metric_jobs", "enhanced_folder"}


def train(
    experiment: Experiment,
    machine: Machine,
    system: str,
    seed: int,
    needs: Sequence[Step],
    lock: int,
) -> dict[str, Any]:
    """Run the recipe, or go on with it, and return what came of it.

    Raises
    ------
    ValueError
        When the folder holds a run with other settings, or from another baseline.
    RuntimeError
        When the recipe fails; its last words.
    """
    folder = machine.run(system, seed)
    begun = (folder / "save").exists()  # by hand, or before a kill
    folder.mkdir(parents=True, exist_ok=True)
    flags = machine.actual(experiment.flags(system, seed))
    check_run(folder, flags, {s.name: s.recorded().get("id") for s in needs})
    recipe = machine.root / experiment.recipe
    flags |= {
        "data_folder": str(machine.data_folder),
        "output_folder": str(folder),
        "metric_jobs": machine.jobs,
    }
    if flags.get("loss_file"):
        flags["loss_file"] = os.path.normpath(recipe / flags["loss_file"])
    if need := experiment.needs.get(system):
        flags[need] = machine.given[need]
    if needs:
        flags["baseline_folder"] = str(machine.run(experiment.baseline, seed))
    command = [sys.executable, recipe / "train.py", recipe / "hparams" / "train.yaml"]
    command += ["--noprogressbar", f"--device={machine.device}"]
    command += [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in flags.items()
    ]
    command = [str(word) for word in command]
    _call(command, machine.root, folder / "run_log.txt", lock)
    meta = read_run(folder).checkpoint.meta
    return {
        **({"whole": False} if begun else {}),
        "command": machine.symbolic(" ".join(["python", *command[1:]])),
        "best_epoch": meta["epoch"],
        "chosen_by": flags.get("ckpt_metric", ""),
        "validation": {
            key: value
            for key, value in meta.items()
            if isinstance(value, float) and key not in ("unixtime", "lr")
        },
    }


def _call(command: list[str], root: Path, log: Path, lock: int) -> None:
    """Run a command, with what it says in a log."""
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with open(log, "a", encoding="utf-8") as file:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=root,
            pass_fds=[lock],
        )
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else "nothing"
        raise RuntimeError(
            f"train.py ended with status {done.returncode}: {last} (more in {log})"
        )


def _known(node: yaml.Node, value: Any) -> Any:
    """Return what a run's YAML has; of an object's arguments, those that are given."""
    if node.tag.startswith("!") and isinstance(value, dict):
        inner = {key.value: x for key, x in node.value}
        return {key: _known(inner[key], value[key]) for key in value if key in inner}
    return yaml.SafeLoader("").construct_document(node)


def check_run(
    folder: Path, flags: Mapping[str, Any], start: Mapping[str, str | None]
) -> None:
    """Refuse to go on with a run that has other settings, or another baseline.

    Raises
    ------
    ValueError
        Naming the folder, and the setting.
    """
    file = folder / "hyperparams.yaml"
    nodes = {}
    if file.exists():
        root = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
        nodes = {key.value: value for key, value in root.value}
    for key, value in flags.items():
        if key in _FREE or key not in nodes:
            continue
        known = _known(nodes[key], value)
        if known != value and str(known) != str(value):  # 1e-05 is text in YAML 1.1
            raise ValueError(
                f"{folder} holds a run with {key}: {known}, and the experiment has "
                f"{value}: remove it, or name another output folder."
            )
    note = folder / "started_from.json"
    if not note.exists():
        write_text(note, json.dumps(start) + "\n")
    elif json.loads(note.read_text(encoding="utf-8")) != start:
        raise ValueError(
            f"{folder} holds a run from another training of the baseline: remove it, "
            "or name another output folder."
        )
