"""The enhancer of a finished run, from the recipe's output folder."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from speechbrain_mal.checkpoints import load_enhancer, run_checkpoints, selection


def load_run(folder: str | os.PathLike) -> tuple[nn.Module, int]:
    """Load the enhancer that a run's test used.

    Of the run's YAML only what builds the enhancer is built: no loss, no data, nothing
    that would have to be downloaded. It is code all the same: load runs of your own.

    Arguments
    ---------
    folder : path
        The run's output folder, with `hyperparams.yaml` and `save`.

    Returns
    -------
    nn.Module
        The enhancer on the CPU, in evaluation mode, with its weights.
    int
        Its sampling rate in Hz.

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
    enhancer = load_hyperpyyaml(yaml.serialize(modules))["enhancer"]
    test_from, ckpt_metric, valid_metrics, phase_two_epochs, rate = (
        yaml.safe_load(yaml.serialize(_child(root, name)))
        for name in (
            "test_from",
            "ckpt_metric",
            "valid_metrics",
            "phase_two_epochs",
            "sample_rate",
        )
    )
    phase = 2 if phase_two_epochs else 1
    checkpoint = run_checkpoints(folder).find_checkpoint(
        **selection(test_from, ckpt_metric, valid_metrics),
        ckpt_predicate=lambda c: c.meta.get("phase") == phase,
    )
    if checkpoint is None:
        raise ValueError(f"{folder} has no checkpoint of phase {phase}.")
    load_enhancer(enhancer, checkpoint)
    return enhancer.eval(), rate


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
