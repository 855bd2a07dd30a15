"""The enhancer of a finished run, from the recipe's output folder."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.checkpoints import Checkpoint
from torch import nn

from speechbrain_mal.checkpoints import load_enhancer, run_checkpoints, selection

_TESTED = ("test_from", "ckpt_metric", "valid_metrics")  # which checkpoint was
_PLAIN = ("system", "sample_rate", "data_folder", "phase_two_epochs", *_TESTED)


@dataclass(frozen=True)
class Run:
    """A finished run: what its test used, or another of its checkpoints.

    Attributes
    ----------
    folder : Path
        The run's output folder.
    enhancer_yaml : str
        HyperPyYAML `enhancer: ...` that builds the model, and nothing else.
    settings : dict
        Plain values of the run's YAML: `system`, `sample_rate` in Hz, `data_folder`,
        and those that say which checkpoint it is.
    checkpoint : Checkpoint
        That one.
    """

    folder: Path
    enhancer_yaml: str
    settings: dict[str, Any]
    checkpoint: Checkpoint

    def load(self) -> nn.Module:
        """Return the enhancer on the CPU, in evaluation mode, with its weights."""
        enhancer = load_hyperpyyaml(self.enhancer_yaml)["enhancer"]
        load_enhancer(enhancer, self.checkpoint)
        return enhancer.eval()


def read_run(folder: str | os.PathLike, which: str | None = None) -> Run:
    """Read what a run was, without building anything.

    Arguments
    ---------
    folder : path
        The run's output folder, with `hyperparams.yaml` and `save`.
    which : str, optional
        "best" or "last": which checkpoint, instead of that which its test used.

    Raises
    ------
    FileNotFoundError
        When the folder is not that of a run.
    ValueError
        When the run has no checkpoint that its test could use.
    """
    folder = Path(folder)
    file = folder / "hyperparams.yaml"
    if not file.exists():
        raise FileNotFoundError(
            f"{file} does not exist: name the output folder of a recipe's run."
        )
    root = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    modules = _child(root, "modules")
    modules.value = [pair for pair in modules.value if pair[0].value == "enhancer"]
    settings = {
        name: yaml.safe_load(yaml.serialize(_child(root, name))) for name in _PLAIN
    }
    settings["test_from"] = which or settings["test_from"]
    phase = 2 if settings["phase_two_epochs"] else 1
    checkpoint = run_checkpoints(folder).find_checkpoint(
        **selection(*(settings[name] for name in _TESTED)),
        ckpt_predicate=lambda c: c.meta.get("phase") == phase,
    )
    if checkpoint is None:
        raise ValueError(f"{folder} has no checkpoint of phase {phase}.")
    return Run(folder, yaml.serialize(modules, indent=4), settings, checkpoint)


def load_run(
    folder: str | os.PathLike, which: str | None = None
) -> tuple[nn.Module, int]:
    """Load the enhancer that a run's test used.

    Of the run's YAML only what builds the enhancer is built: no loss, no data, nothing
    that would have to be downloaded. It is code all the same: load runs of your own.

    Arguments
    ---------
    folder, which
        As of `read_run`, also for its errors.

    Returns
    -------
    nn.Module
        The enhancer on the CPU, in evaluation mode, with its weights.
    int
        Its sampling rate in Hz.
    """
    run = read_run(folder, which)
    return run.load(), run.settings["sample_rate"]


def _child(node: yaml.Node, key: str) -> yaml.Node:
    """Return the value of a key, without constructing anything."""
    for name, value in getattr(node, "value", []):
        if name.value == key:
            return value
    raise ValueError(f"hyperparams.yaml has no {key!r}: it is no run of MALBrain's.")


def enhancement_of(
    folder: str | os.PathLike,
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return what a finished run does to a clip.

    Arguments
    ---------
    folder : path
        As of `load_run`.

    Returns
    -------
    callable
        Float32 waveform `[samples]` and its sampling rate in Hz, to the enhanced
        waveform; ValueError at another rate than the run's.
    """
    enhancer, run_rate = load_run(folder)

    @torch.inference_mode()
    def enhance(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        if sample_rate != run_rate:
            raise ValueError(
                f"The clip has {sample_rate} Hz, and {folder} is of {run_rate} Hz."
            )
        return enhancer(torch.from_numpy(waveform)[None])[0].numpy()

    return enhance
