"""A run that is stopped anywhere and started again ends as if it never had been."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SAMPLES
from dns_tree import make_tree
from recipe_run import EnhanceBrain, fit, make_brain
from tiny_networks import save_tiny

SCRIPT = Path(__file__).with_name("recipe_run.py")
# 24 training clips make 6 batches an epoch: epochs end after 6, 12 and 18; a checkpoint
# is saved every 2 batches and after every epoch.
PHASES = {"number_of_epochs": 1, "phase_two_epochs": 2, "baseline_folder": None}
PHASES |= {"clips": 24, "batch_size": 4}
TWO_PHASES = [f"--{key}={value or 'null'}" for key, value in PHASES.items()]
OFTEN = {"ckpt_interval_steps": 2, "ckpt_interval_minutes": 0}


class Stopped(Exception):
    """Stands for a kill within this process."""


class Stopping(EnhanceBrain):
    """Stop after some batches."""

    stop_at = None
    batches = 0

    def on_fit_batch_end(self, *args):
        self.batches += 1
        if self.batches == self.stop_at:
            raise Stopped


def run(output, system, stop_at=None, **options):
    """Train until `stop_at` batches of this call, or to the end."""
    brain = make_brain(output, system, Stopping, OFTEN, **PHASES, **options)
    brain.stop_at = stop_at
    if stop_at is None:
        return fit(brain)
    with pytest.raises(Stopped):
        fit(brain)


def final_weights(output):
    """Return everything the last checkpoint holds that training goes on from."""
    last = max((output / "save").glob("CKPT*"), key=lambda p: p.stat().st_mtime)
    return {
        name: torch.load(last / f"{name}.ckpt", weights_only=True)
        for name in ("enhancer", "loss", "optimizer")
    }


def assert_same(a, b, where=""):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    else:
        assert a == b, where


@pytest.mark.parametrize("system", ["mal_ema", "mal_frozen_fe", "wavlm"])
def test_stopped_run_ends_with_the_same_weights(tmp_path, system, monkeypatch):
    options = {}
    if system == "wavlm":
        options["network_source"] = str(tmp_path / "tiny")
        save_tiny("WavLM", options["network_source"])
    run(tmp_path / "whole", system, **options)
    # In the middle of phase one; in the middle of phase two, off a checkpoint.
    run(tmp_path / "stopped", system, 3, **options)
    run(tmp_path / "stopped", system, 7, **options)
    # While a checkpoint within an epoch is being written.
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half_written)
        run(tmp_path / "stopped", system, -1, **options)
    run(tmp_path / "stopped", system, **options)
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "stopped"))


def half_written(obj, path, *args, **kwargs):
    """Write half of a file of a checkpoint, and stop."""
    Path(path).write_bytes(b"half")
    raise Stopped


@pytest.mark.slow
def test_killed_process_ends_with_the_same_weights(tmp_path):
    run(tmp_path / "whole", "mal_dynamic")
    command = [sys.executable, SCRIPT, tmp_path / "killed", "mal_dynamic", "11"]
    done = subprocess.run([*command, *TWO_PHASES], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run(tmp_path / "killed", "mal_dynamic")
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed"))


def test_mixtures_go_on_with_another_number_of_workers(tmp_path):
    tree = str(make_tree(tmp_path / "corpus", SAMPLES))
    options = {"data_folder": tree, "train_examples": 24, "valid_examples": 2}
    run(tmp_path / "whole", "DNS/mal_dynamic", **options)
    folder = tmp_path / "stopped"
    for stop_at, workers in ((4, 0), (6, 2), (None, 1)):  # in both phases
        run(folder, "DNS/mal_dynamic", stop_at, num_workers=workers, **options)
    assert_same(final_weights(tmp_path / "whole"), final_weights(folder))
