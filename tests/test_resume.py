"""A run that is killed anywhere and started again ends as if it never had been."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SAMPLES
from dns_tree import make_tree
from tiny_networks import save_tiny

SCRIPT = Path(__file__).with_name("recipe_run.py")
TWO_PHASES = ["--number_of_epochs", "2", "--phase_two_epochs", "2"]
TWO_PHASES += ["--baseline_folder", "null", "--num_workers", "1"]
# 48 training clips make 6 batches an epoch: epochs end after 6, 12, 18 and 24; a
# checkpoint is saved every 2 batches and after every epoch.


def run(output, system, kill_at, *options):
    command = [sys.executable, SCRIPT, output, system, kill_at, *TWO_PHASES, *options]
    if system == "wavlm":
        source = output.parent / "tiny_wavlm"
        if not source.exists():
            save_tiny("WavLM", source)
        command += ["--wavlm_source", source]
    return subprocess.run(command, capture_output=True, text=True)


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


@pytest.mark.slow
@pytest.mark.parametrize("system", ["mal_dynamic", "mal_frozen_fe", "wavlm"])
def test_killed_run_ends_with_the_same_weights(tmp_path, system):
    whole = run(tmp_path / "whole", system, "never")
    assert whole.returncode == 0, whole.stderr
    # In the middle of phase one; in the middle of phase two, off a checkpoint; while
    # a checkpoint within an epoch is being written.
    for kill_at in ("3", "11", "save:2"):
        killed = run(tmp_path / "killed", system, kill_at)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run(tmp_path / "killed", system, "never").returncode == 0
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed"))


@pytest.mark.slow
def test_mixtures_go_on_with_another_number_of_workers(tmp_path):
    tree = make_tree(tmp_path / "corpus", SAMPLES)
    options = ["--data_folder", str(tree)]
    whole = run(tmp_path / "whole", "DNS/mal_dynamic", "never", *options)
    assert whole.returncode == 0, whole.stderr
    for kill_at, workers in (("4", "0"), ("9", "2")):  # in both phases
        killed = run(
            tmp_path / "killed",
            "DNS/mal_dynamic",
            kill_at,
            *options,
            "--num_workers",
            workers,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = run(tmp_path / "killed", "DNS/mal_dynamic", "never", *options)
    assert last.returncode == 0, last.stderr
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed"))
