"""Two processes on CPU train one model: both hold the same, whatever refreshes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_resume import assert_same

SCRIPT = Path(__file__).with_name("ddp_run.py")
SYSTEMS = ["mal_frozen_fe", "mal_dynamic", "mal_dynamic_per_batch", "mal_ema"]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Return the folder that two processes wrote."""
    output = tmp_path_factory.mktemp("ddp")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", SCRIPT, output, *SYSTEMS]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-5000:]
    return output


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_processes_agree(output, system):
    notes = [torch.load(output / system / f"rank_{rank}.pt") for rank in (0, 1)]
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
