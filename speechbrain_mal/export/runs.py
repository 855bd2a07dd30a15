"""The enhancer of a finished run, from the recipe's output folder."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
import yaml
from torch import nn

from speechbrain_mal.checkpoints import selection
from speechbrain_mal.files import open_file, printable, shown
from speechbrain_mal.hub.folder import HYPERPARAMS
from speechbrain_mal.hub.registry import build_model
from speechbrain_mal.hub.tensors import WEIGHTS_BYTES, put_weights
from speechbrain_mal.hub.translate import (
    enhancer_yaml,
    entries,
    spec_of,
    yaml_of,
    yaml_tree,
)
from speechbrain_mal.system import (
    SYSTEM,
    enhancer_node,
    plain_enhancer,
    plain_settings,
    read_system,
)

_WEIGHTS = "enhancer.ckpt"
_SETTINGS = "It has to have been trained with the same model settings."
_TRUST = (
    f"If you trust whoever wrote the folder, let its {HYPERPARAMS} be executed: "
    "--trust, in Python trust=True."
)


class Checkpoint(NamedTuple):
    """A checkpoint of a run: its folder, and what SpeechBrain noted about it."""

    path: Path
    meta: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A finished run: what its test used, or another of its checkpoints."""

    folder: Path
    model: dict[str, Any] | None  # what builds the enhancer, if data can
    settings: dict[str, Any]  # of `system.SETTINGS`
    checkpoint: Checkpoint
    trust: bool  # whether its YAML counts, not its `system.json`, and is executed

    def enhancer_yaml(self) -> str:
        """Return HyperPyYAML `enhancer: ...` that builds the model, nothing else."""
        own = enhancer_node(yaml_tree(self.folder)) if self.trust else None
        return enhancer_yaml(own or yaml_of(self._known()))

    def load(self) -> nn.Module:
        """Return the enhancer on the CPU, in evaluation mode; see `load_run`."""
        with open_file(self.checkpoint.path, _WEIGHTS, WEIGHTS_BYTES) as file:
            enhancer = self._built(os.fstat(file.fileno()).st_size)
            where = printable(self.checkpoint.path / _WEIGHTS)
            put_weights(enhancer, _state(file, where), where, _SETTINGS)
        return enhancer.eval()

    def _built(self, weights_bytes: int) -> nn.Module:
        if self.trust:
            from hyperpyyaml import load_hyperpyyaml

            return load_hyperpyyaml(self.enhancer_yaml())["enhancer"]
        model, where = self._known(), printable(self.folder / SYSTEM)
        try:
            return build_model(model, where, weights_bytes)
        except ValueError as error:
            raise ValueError(f"{error} {_TRUST}") from error

    def _known(self) -> dict[str, Any]:
        if self.model is not None:
            return self.model
        raise ValueError(
            f"{printable(self.folder / SYSTEM)} does not say how the enhancer is "
            "built; in runs of this package it does, unless the network is their own. "
            f"{_TRUST}"
        )


def read_run(
    folder: str | os.PathLike, which: str | None = None, trust: bool = False
) -> Run:
    """Read what a run was, without building or executing anything.

    FileNotFoundError when the folder is not that of a run, ValueError when it has no
    checkpoint that its test could use.

    Arguments
    ---------
    folder : path
        The run's output folder, with `system.json` or `hyperparams.yaml`, and `save`.
    which : str, optional
        "best" or "last": which checkpoint, instead of that which its test used.
    trust : bool
        Whether `load` may execute its `hyperparams.yaml`.
    """
    folder = Path(folder)
    if not any(os.path.lexists(folder / name) for name in (SYSTEM, HYPERPARAMS)):
        raise FileNotFoundError(
            f"{folder / HYPERPARAMS} does not exist: name the output folder of a "
            "recipe's run."
        )
    settings = read_system(folder)
    if settings is None:
        settings = plain_settings(yaml_tree(folder), printable(folder / HYPERPARAMS))
    model = settings.pop("model", None)
    if trust:
        model = plain_enhancer(yaml_tree(folder))
    settings["test_from"] = which or settings["test_from"]
    phase = 2 if settings["phase_two_epochs"] else 1
    tested = (settings[x] for x in ("test_from", "ckpt_metric", "valid_metrics"))
    ((kind, key),) = selection(*tested).items()
    found = [
        checkpoint
        for checkpoint in _checkpoints(folder)
        if checkpoint.meta.get("phase") == phase
        and isinstance(checkpoint.meta.get(key), int | float)
    ]
    if not found:
        raise ValueError(f"{folder} has no checkpoint of phase {phase}.")
    sign = 1 if kind == "max_key" else -1
    best = max(found, key=lambda c: (sign * c.meta[key], c.meta.get("unixtime", 0)))
    return Run(folder, model, settings, best, trust)


def _checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a run; SpeechBrain's notes are read as a tree."""
    found = []
    for path in sorted((folder / "save").glob("CKPT+*/CKPT.yaml")):
        where = printable(path)
        notes = entries(yaml_tree(path.parent, path.name), where)
        meta = {
            key: spec_of(value, where)
            for key, value in notes.items()
            if isinstance(value, yaml.ScalarNode)
        }
        found.append(Checkpoint(path.parent, meta))
    if not found:
        raise ValueError(
            f"{folder} holds no checkpoint (save/CKPT+...): give the output_folder of "
            "a trained run."
        )
    return found


def _state(file: BinaryIO, where: str) -> dict[str, torch.Tensor]:
    """Return a checkpoint's weights, without running code."""
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = [entry.file_size for entry in archive.infolist()]
        if sum(sizes) > file.seek(0, os.SEEK_END):
            raise ValueError("it would grow")
        file.seek(0)
        state = torch.load(file, "cpu", weights_only=True)
        for value in state.values():
            if not (value.is_cpu and value.layout == torch.strided):
                raise ValueError("they are no plain tensors")
        return state
    except Exception as error:  # zipfile's and torch's, of what is no checkpoint
        raise ValueError(f"{where}: no weights of a run ({shown(error)}).") from error


def load_run(
    folder: str | os.PathLike, which: str | None = None, trust: bool = False
) -> tuple[nn.Module, int]:
    """Return the enhancer that a run's test used, on the CPU, and its rate in Hz.

    It is built of the run's `system.json`, which is data: no loss, nothing that would
    have to be downloaded, and nothing is executed. With `trust`, what of its
    `hyperparams.yaml` builds the enhancer is executed instead. That is code, which can
    do whatever you can: only of folders of people you trust. ValueError when data can't
    build it, or its weights are damaged or another model's, and as `read_run`.
    """
    run = read_run(folder, which, trust)
    return run.load(), run.settings["sample_rate"]


def enhancement_of(
    folder: str | os.PathLike, trust: bool = False
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return what a finished run does to a float32 waveform `[samples]` and its rate.

    Arguments are those of `load_run`; ValueError at another rate than the run's.
    """
    enhancer, run_rate = load_run(folder, trust=trust)

    @torch.inference_mode()
    def enhance(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        if sample_rate != run_rate:
            raise ValueError(
                f"The clip has {sample_rate} Hz, and {folder} is of {run_rate} Hz."
            )
        return enhancer(torch.from_numpy(waveform)[None])[0].numpy()

    return enhance
