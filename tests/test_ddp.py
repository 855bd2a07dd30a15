"""Two processes on CPU train one model: both hold the same, whatever refreshes."""

import json
import os
import subprocess
import sys

import pytest
import torch
from recipe_run import fit, make_brain, with_conv_tasnet
from test_resume import SCRIPT, assert_same

pytestmark = pytest.mark.slow
SYSTEMS = ["mal_frozen_fe", "mal_dynamic", "mal_dynamic_per_batch", "mal_ema"]
PHASES = {"number_of_epochs": 1, "phase_two_epochs": 2, "baseline_folder": None}
PHASES |= {"batch_size": 4}


def torchrun(output, systems, **environment):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", SCRIPT, output, json.dumps(systems)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def conv_tasnet(tmp_path_factory):
    """Return a system without BatchNorm, which on CPUs has each half's statistics."""
    return str(with_conv_tasnet("DNS/baseline", tmp_path_factory.mktemp("conv")))


@pytest.fixture(scope="module")
def one_batch(tree):
    """Return options of three epochs of one batch of eight, whatever the order."""
    options = {"data_folder": tree, "train_examples": 8, "phase_two_epochs": 0}
    return {**PHASES, **options, "number_of_epochs": 3}


@pytest.fixture(scope="module")
def output(tmp_path_factory, tree, one_batch, conv_tasnet):
    """Return the folder that two processes wrote, of which one died at first."""
    output = tmp_path_factory.mktemp("ddp")
    options = {**PHASES, "data_folder": tree, "train_examples": 24}
    mixed = {"DNS/mal_dynamic": options}
    died = torchrun(output, mixed, KILL_AT="2")
    assert died.returncode != 0 and "SIGKILL" in died.stderr
    assert not (output / "DNS/mal_dynamic/train_log.txt").exists()  # in the first epoch
    voicebank = dict.fromkeys(SYSTEMS, {**PHASES, "clips": 24})
    done = torchrun(output, {**mixed, **voicebank, conv_tasnet: one_batch})
    assert done.returncode == 0, done.stderr[-5000:]
    return output


def read_notes(folder):
    """Return what each process noted after every epoch, and the clips it saw."""
    notes = [torch.load(folder / f"rank_{rank}.pt") for rank in (0, 1)]
    return notes, [[epoch.pop("ids") for epoch in note] for note in notes]


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
    assert torch.equal(*encoders) == (system == "mal_frozen_fe")
    # One process writes, and what it writes is about the batches of both.
    log = (output / system / "train_log.txt").read_text()
    assert log.count("epoch: ") == 3
    assert f"train df: {last['train']['df']:.2f}" in log


def test_every_mixture_of_an_epoch_is_seen_once_also_after_a_death(output):
    notes, ids = read_notes(output / "DNS" / "mal_dynamic")
    assert_same(*notes)
    assert len(notes[0]) == 3
    for ours, theirs in zip(*ids, strict=True):
        assert sorted(ours + theirs) == [f"mix{i:07d}" for i in range(24)]


def test_half_batches_of_two_are_whole_batches_of_one(
    output, tmp_path, one_batch, conv_tasnet
):
    options = {**one_batch, "batch_size": 8}
    alone = fit(make_brain(tmp_path, conv_tasnet, **options)).enhancer.state_dict()
    (*_, notes), _ = read_notes(output / "baseline")[0]
    for name, weight in alone.items():
        # Sums in another order; AdamW divides by the gradient's size, so what differs
        # in a tiny gradient may differ by a share of a step (1e-3, three of them).
        torch.testing.assert_close(
            notes["enhancer"][name], weight, atol=2e-4, rtol=1e-3
        )
