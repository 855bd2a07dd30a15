"""Tasks in processes: none is lost with another, and no process outlives its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest

from speechbrain_mal.processes import DIED, run_tasks


def deadly(number, bad):
    """Return a number's square, or die."""
    if number in bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def test_a_task_that_kills_its_process_costs_no_other():
    tasks = [(number, (2, 7)) for number in range(12)]
    results = dict(run_tasks(deadly, tasks, jobs=2))
    died = {2, 7}
    assert results == {i: DIED if i in died else i**2 for i in range(12)}


def test_what_a_task_raises_ends_the_call():
    with pytest.raises(ZeroDivisionError):
        list(run_tasks(divmod, [(1, 0)] * 3, jobs=2))


SCRIPT = """
import os, signal, sys, time
from speechbrain_mal.processes import run_tasks

signal.signal(signal.SIGINT, signal.default_int_handler)  # of a job in background: none

def task(number):
    with open(f"{sys.argv[1]}/{os.getpid()}", "w"):
        time.sleep(60)

try:
    list(run_tasks(task, [(number,) for number in range(4)], jobs=2))
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
"""


def running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not os.path.exists("/proc"), reason="no /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(how, tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tmp_path],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(workers := [int(name) for name in os.listdir(tmp_path)]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    if how == signal.SIGINT:  # as Ctrl-C: all processes of the terminal's group have it
        os.killpg(parent.pid, how)
    else:
        os.kill(parent.pid, how)
    assert parent.wait(20) is not None
    deadline = time.monotonic() + 5
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(running, workers))
    if how == signal.SIGINT:
        assert parent.stderr.read() == "stopped\n"
    parent.stderr.close()
