"""A run that is stopped anywhere and started again ends as if it never had been."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from recipe_run import EnhanceBrain, fit, make_brain

SCRIPT = Path(__file__).with_name("recipe_run.py")
# 10 training clips make 5 batches an epoch: epochs end after 5, 10 and 15; a checkpoint
# is saved every 2 batches and after every epoch.
PHASES = {"number_of_epochs": 1, "phase_two_epochs": 2, "baseline_folder": None}
PHASES |= {"clips": 10, "batch_size": 2}
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


assert_same = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


@pytest.mark.parametrize("system", ["mal_ema", "mal_frozen_fe", "wavlm"])
def test_stopped_run_ends_with_the_same_weights(tmp_path, system, monkeypatch, wavlm):
    options = {"network_source": wavlm}
    run(tmp_path / "whole", system, **options)
    # In the middle of phase one; in the middle of phase two, off a checkpoint.
    run(tmp_path / "stopped", system, 3, **options)
    run(tmp_path / "stopped", system, 6, **options)
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


def script(output, kill_at="never", **environment):
    """Train mal_dynamic in a process of its own."""
    command = [sys.executable, SCRIPT, output, json.dumps({"mal_dynamic": PHASES})]
    environment = {**os.environ, "KILL_AT": kill_at, **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    killed = kill_at != "never"
    assert done.returncode == (-signal.SIGKILL if killed else 0), done.stderr


@pytest.mark.slow
def test_killed_process_ends_with_the_same_weights(tmp_path):
    script(tmp_path, "9")
    killed, whole = tmp_path / "mal_dynamic", tmp_path / "whole"
    run(whole, "mal_dynamic")
    run(killed, "mal_dynamic")
    assert_same(final_weights(whole), final_weights(killed))


def test_mixtures_go_on_with_another_number_of_workers(tmp_path, tree):
    options = {"data_folder": tree, "train_examples": 10, "valid_examples": 2}
    run(tmp_path / "whole", "DNS/mal_dynamic", **options)
    folder = tmp_path / "stopped"
    for stop_at, workers in ((3, 0), (6, 2), (None, 1)):  # in both phases
        run(folder, "DNS/mal_dynamic", stop_at, num_workers=workers, **options)
    assert_same(final_weights(tmp_path / "whole"), final_weights(folder))
