"""Two processes on CPU train one model: both hold the same, whatever refreshes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SAMPLES
from dns_tree import make_tree
from recipe_run import with_conv_tasnet
from test_resume import assert_same

SCRIPT = Path(__file__).with_name("ddp_run.py")
SYSTEMS = ["mal_frozen_fe", "mal_dynamic", "mal_dynamic_per_batch", "mal_ema"]


def run(output, *systems, processes=2, die_at=None, **options):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={processes}", SCRIPT, output, json.dumps(options)]
    environment = {**os.environ, **({"DIE_AT": str(die_at)} if die_at else {})}
    return subprocess.run(
        [*command, *systems], capture_output=True, text=True, env=environment
    )


def read_notes(folder, processes=2):
    """Return what each process noted after every epoch, and the clips it saw."""
    notes = [torch.load(folder / f"rank_{rank}.pt") for rank in range(processes)]
    return notes, [[epoch.pop("ids") for epoch in note] for note in notes]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Return the folder that two processes wrote."""
    output = tmp_path_factory.mktemp("ddp")
    done = run(output, *SYSTEMS)
    assert done.returncode == 0, done.stderr[-5000:]
    return output


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Return a corpus in the layout of the DNS Challenge."""
    return str(make_tree(tmp_path_factory.mktemp("corpus"), SAMPLES))


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_processes_agree(output, system):
    notes, _ = read_notes(output / system)
    assert_same(*notes)  # weights, statistics, MAL-encoder, scales and the log's means
    start, first, last = notes[0]
    assert not torch.equal(
        *(note["enhancer"]["erb_dec.conv0p.0.weight"] for note in (start, last))
    )
    encoders = [
        torch.cat([x.flatten().double() for x in note["encoders"]["mal"].values()])
        for note in (first, last)
    ]
    frozen = system == "mal_frozen_fe"
    assert torch.equal(*encoders) == frozen
    # One process writes, and what it writes is about the batches of both.
    log = (output / system / "train_log.txt").read_text()
    assert log.count("epoch: ") == 3
    assert f"train df: {last['train']['df']:.2f}" in log


@pytest.mark.slow
def test_every_mixture_of_an_epoch_is_seen_once(tmp_path, tree):
    done = run(tmp_path, "DNS/mal_dynamic", data_folder=tree)
    assert done.returncode == 0, done.stderr[-5000:]
    notes, ids = read_notes(tmp_path / "DNS" / "mal_dynamic")
    assert_same(*notes)
    for ours, theirs in zip(*ids, strict=True):
        assert sorted(ours + theirs) == [f"mix{i:07d}" for i in range(48)]


@pytest.mark.slow
def test_half_batches_of_two_are_whole_batches_of_one(tmp_path, tree):
    # Conv-TasNet: DeepFilterNet2 has BatchNorm, which on CPUs takes each half's own
    # statistics.
    (tmp_path / "dns").mkdir()
    system = with_conv_tasnet("DNS/baseline", tmp_path / "dns")
    options = {"data_folder": tree, "number_of_epochs": 2, "phase_two_epochs": 0}
    weights = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        batch = {"batch_size": 8 // processes}
        done = run(folder, system, processes=processes, **options, **batch)
        assert done.returncode == 0, done.stderr[-5000:]
        notes, _ = read_notes(folder / "baseline", processes)
        weights.append(notes[0][-1]["enhancer"])
    for name, weight in weights[0].items():
        # Sums in another order; AdamW divides by the gradient's size, so what differs
        # in a tiny gradient may differ by a share of a step (1e-3, twelve of them).
        torch.testing.assert_close(weights[1][name], weight, atol=2e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_which_then_goes_on(tmp_path, tree):
    died = run(tmp_path, "DNS/baseline", data_folder=tree, die_at=5)
    assert died.returncode != 0 and "SIGKILL" in died.stderr
    log = tmp_path / "DNS" / "baseline" / "train_log.txt"
    assert not log.exists()  # in the first epoch
    again = run(tmp_path, "DNS/baseline", data_folder=tree)
    assert again.returncode == 0, again.stderr[-5000:]
    assert log.read_text().count("epoch: ") == 3
