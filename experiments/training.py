"""Training one run of an experiment with the recipe's own `train.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.definition import Experiment, System
from experiments.paths import RunPaths
from experiments.steps import Step, read_record
from speechbrain_mal.export.runs import read_run
from speechbrain_mal.files import write_text

LOG = "run_log.txt"
# What of a run may change when it goes on: nothing of the training depends on it.
_OF_THE_TEST = {"test_from", "test_metrics", "metric_jobs", "enhanced_folder"}


def train(
    experiment: Experiment,
    place: RunPaths,
    system: System,
    seed: int,
    needs: Sequence[Step],
    lock: int,
) -> dict[str, Any]:
    """Run the recipe, or go on with it, and return what came of it.

    Arguments
    ---------
    experiment, place, system, seed
        What to train, and where.
    needs : sequence of Step
        The baseline's training, for a system that starts from it.
    lock : int
        Descriptor that the training inherits.

    Returns
    -------
    dict
        Command, best epoch, validation scores.

    Raises
    ------
    ValueError
        When the folder holds a run with other settings, or from another baseline.
    RuntimeError
        When the recipe fails; its last words.
    """
    folder = place.run(system.name, seed)
    begun = (folder / "save").exists()  # by hand, or before a kill
    folder.mkdir(parents=True, exist_ok=True)
    overrides = experiment.overrides(system, seed)
    _check_settings(folder, overrides)
    start = {step.name: (read_record(step) or {}).get("id") for step in needs}
    _check_start(folder, start)
    recipe = place.root / experiment.recipe
    overrides = {
        **recipe_flags(system.recipe, place.root, recipe),
        **overrides,
        "data_folder": str(place.data_folder),
        "output_folder": str(folder),
        "metric_jobs": place.jobs,
    }
    if system.needs:
        overrides[system.needs] = place.given[system.needs]
    if needs:
        overrides["number_of_epochs"] = 0
        overrides["baseline_folder"] = str(place.run(experiment.baseline, seed))
    file = recipe / "hparams" / "train.yaml"
    command = [sys.executable, str(recipe / "train.py"), str(file), "--noprogressbar"]
    command.append(f"--device={place.device}")
    command += [
        f"--{key}={json.dumps(value)}"
        if not isinstance(value, str)
        else f"--{key}={value}"
        for key, value in overrides.items()
    ]
    _call(command, place, folder / LOG, lock)
    meta = read_run(folder).checkpoint.meta
    return {
        **({"whole": False} if begun else {}),
        "command": place.symbolic(" ".join(["python", *command[1:]])),
        "best_epoch": meta["epoch"],
        "chosen_by": overrides.get("ckpt_metric", ""),
        "validation": {
            key: value
            for key, value in meta.items()
            if isinstance(value, float) and key not in ("unixtime", "lr")
        },
    }


def _call(command: list[str], place: RunPaths, log: Path, lock: int) -> None:
    """Run a command, with what it says in a log."""
    paths = [str(place.root), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with open(log, "a", encoding="utf-8") as file:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=place.root,
            pass_fds=[lock],
        )
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else "nothing"
        raise RuntimeError(
            f"train.py ended with status {done.returncode}: {last} (more in {log})"
        )


def _check_settings(folder: Path, overrides: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that has other settings."""
    file = folder / "hyperparams.yaml"
    if not file.exists():
        return
    root = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    nodes = {key.value: value for key, value in root.value}
    for key, value in overrides.items():
        if key in _OF_THE_TEST or isinstance(value, dict) or key not in nodes:
            continue
        known = yaml.safe_load(yaml.serialize(nodes[key]))
        if known != value and str(known) != str(value):  # 1e-05 is text in YAML 1.1
            raise ValueError(
                f"{folder} holds a run with {key}: {known}, and the experiment has "
                f"{value}: remove it, or name another output folder."
            )


def _check_start(folder: Path, start: Mapping[str, str | None]) -> None:
    """Refuse to go on with a run that started from another baseline."""
    file = folder / "started_from.json"
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != start:
            raise ValueError(
                f"{folder} holds a run from another training of the baseline: remove "
                "it, or name another output folder."
            )
        return
    write_text(file, json.dumps(start) + "\n")


def recipe_flags(name: str, root: Path, recipe: Path) -> dict[str, Any]:
    """Return a system's flags of the recipe's `train.yaml`.

    Arguments
    ---------
    name : str
        One of `experiments/systems.yaml`.
    root, recipe : path
        The project, and the recipe's folder.

    Raises
    ------
    ValueError
        When the system is unknown.
    """
    file = root / "experiments" / "systems.yaml"
    systems = yaml.safe_load(file.read_text(encoding="utf-8"))
    if name not in systems:
        raise ValueError(f"{file} has no {name!r}: it has {', '.join(systems)}.")
    flags = {"system": name, **systems[name]}
    if "loss_file" in flags:
        flags["loss_file"] = os.path.normpath(recipe / flags["loss_file"])
    return flags
