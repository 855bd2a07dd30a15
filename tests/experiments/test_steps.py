"""A step is done once, whoever dies, and again when what it rests on has changed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from experiments.steps import Step, locked, plan, run_steps


@pytest.fixture
def make(tmp_path):
    """Make steps that write their name, and keep the order in which they ran."""

    def step(name, *needs, kinds=("work",), settings=None, fails=()):
        product = tmp_path / f"{name}.out"

        def run(lock):
            step.ran.append(name)
            if name in step.fails:
                raise ValueError(f"{name} can't")
            product.write_text(name)
            return {"fact": name}

        return Step(
            name,
            kinds,
            tmp_path / "records" / f"{name}.json",
            tmp_path / f"{name}.lock",
            settings or {},
            (product,),
            needs,
            run,
        )

    step.ran, step.fails = [], set()
    return step


def quiet(line):
    pass


def test_done_steps_are_not_done_again(make):
    first = make("first")
    second = make("second", first)
    assert run_steps([first, second], quiet, commit="abc") == ({}, {})
    assert make.ran == ["first", "second"] and second.is_done()
    assert first.recorded()["commit"] == "abc" and first.recorded()["fact"] == "first"
    run_steps([first, second], quiet)
    assert make.ran == ["first", "second"]


@pytest.mark.parametrize("harm", ["product", "record", "settings"])
def test_what_rests_on_a_step_that_is_done_again_is_done_again(make, harm):
    first = make("first")
    second = make("second", first)
    other = make("other")
    run_steps([first, second, other], quiet)
    if harm == "product":
        first.products[0].unlink()
    elif harm == "record":
        first.record.write_text('{"id": "cut o')
    else:
        first = replace(first, settings={"weight": 2})
        second = replace(second, needs=(first,))
    assert not second.is_done()
    make.ran.clear()
    assert run_steps([first, second, other], quiet) == ({}, {})
    assert make.ran == ["first", "second"]


def test_a_failure_is_named_and_the_rest_goes_on(make):
    first, other = make("first"), make("other")
    second = make("second", first)
    make.fails.add("first")
    rest = run_steps([first, second, other], quiet)
    assert rest.failed == {"first": "ValueError: first can't"}
    assert rest.left == {"second": "needs first"} and other.is_done()
    make.fails.clear()
    assert run_steps([first, second, other], quiet) == ({}, {})


def test_plan_estimates_from_whole_steps_of_the_kind(make, tmp_path):
    records = tmp_path / "records"
    done, same, new = make("a"), make("b"), make("c", kinds=("another",))
    run_steps([done], quiet)
    record = json.loads(done.record.read_text())
    done.record.write_text(json.dumps({**record, "wall_seconds": 1200}))
    # What went on where it had been stopped says nothing of how long one takes.
    part = {**record, "wall_seconds": 1, "whole": False}
    (records / "part.json").write_text(json.dumps(part))
    lines = plan([done, same, new], records).splitlines()
    assert lines[0].split() == ["done", "a"]
    assert lines[1].split() == ["about", "20", "min", "b"]
    assert lines[2].split() == ["unknown", "c"]
    assert lines[3] == "1 done, 2 left: 20 min and 1 of unknown duration"


def test_a_failed_start_makes_a_wall_time_incomplete(make):
    step = make("a")
    make.fails.add("a")
    run_steps([step], quiet)
    make.fails.clear()
    run_steps([step], quiet)
    assert step.recorded()["whole"] is False


def test_steps_of_another_process_are_left_to_it(make):
    first, other = make("first"), make("other")
    second = make("second", first)
    with locked(first.lock) as descriptor:
        assert descriptor is not None
        left = run_steps([first, second, other], quiet).left
    assert left == {"first": "another process is at it", "second": "needs first"}
    assert make.ran == ["other"]
    assert run_steps([first, second, other], quiet) == ({}, {})


PARENT = """
import os, signal, subprocess, sys
from pathlib import Path
from experiments.steps import locked
with locked(Path(sys.argv[1])) as descriptor:
    child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_training_whose_parent_was_killed_keeps_the_lock(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", PARENT, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert parent.wait() == -signal.SIGKILL
    with locked(path) as descriptor:
        assert descriptor is None
    os.kill(child, signal.SIGKILL)
    for _ in range(100):  # until the system has cleared the child away
        with locked(path) as descriptor:
            if descriptor is not None:
                break
        time.sleep(0.05)
    assert descriptor is not None
