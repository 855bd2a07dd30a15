"""Steps of a long experiment: each done once, in any order, by any number of processes.

A step is done when its record is there, was made with the same settings and from the
same results of the steps it needs, and when all its products exist. The record is
written last, by a rename, so a process may be killed anywhere.
"""

import fcntl
import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from speechbrain_mal.files import write_text


@dataclass(frozen=True)
class Step:
    """One piece of work.

    Attributes
    ----------
    name : str
        Unique, such as `mal_dynamic/1234/train`.
    kinds : tuple of str
        What its wall time is estimated from: that of steps with the first kind that
        any recorded step shares.
    record : Path
        JSON file that says that it is done, and how.
    lock : Path
        File that a process holds while it works on the step.
    settings : dict
        What the products depend on, as JSON can hold it.
    products : tuple of Path
        Files and folders that are there when it is done.
    needs : tuple of Step
        Steps that come first.
    run : callable
        Does it, or goes on with it. Takes the descriptor of the lock, which a child
        process inherits that shall hold it, too; returns facts for the record.
    """

    name: str
    kinds: tuple[str, ...]
    record: Path
    lock: Path
    settings: dict
    products: tuple[Path, ...]
    needs: tuple["Step", ...]
    run: Callable[[int], dict]


@dataclass
class Outcome:
    """What became of steps, by name: done before or now, failed, or left to others.

    Attributes
    ----------
    done : list of str
        All that are done.
    failed : dict of str to str
        Those that failed now, and why.
    left : dict of str to str
        Those that could not start, and why.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


def read_record(step: Step) -> dict | None:
    """Return the record of a step, None where there is none that can be read."""
    try:
        return json.loads(step.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_done(step: Step) -> bool:
    """Return whether a step and all it needs are done, and belong together."""
    record = read_record(step)
    return (
        record is not None
        and all(is_done(needed) for needed in step.needs)
        and record.get("settings") == step.settings
        and record.get("needs") == _ids(step.needs)
        and all(product.exists() for product in step.products)
    )


def _ids(steps: Sequence[Step]) -> dict[str, str | None]:
    return {step.name: (read_record(step) or {}).get("id") for step in steps}


def estimates(steps: Sequence[Step], records: Path) -> dict[str, float | None]:
    """Return how long each step will take in seconds, None where that is not known.

    Arguments
    ---------
    steps : sequence of Step
        The steps.
    records : Path
        Folder with the records of all steps so far, in any depth. Those of steps that
        went on where an earlier call had stopped don't say how long one takes.
    """
    known: dict[str, list[float]] = {}
    for path in sorted(records.rglob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            seconds = record["wall_seconds"] if record["whole"] else None
            kinds = record["kinds"]
        except (ValueError, KeyError, TypeError):
            continue
        for kind in kinds if seconds is not None else ():
            known.setdefault(kind, []).append(seconds)
    return {
        step.name: next(
            (statistics.median(known[kind]) for kind in step.kinds if kind in known),
            None,
        )
        for step in steps
    }


def duration(seconds: float) -> str:
    """Return a duration for people.

    Example
    -------
    >>> duration(42), duration(754), duration(9000)
    ('42 s', '13 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plan(steps: Sequence[Step], records: Path) -> str:
    """Return what is done, what is left, and how long that takes, line by line."""
    expected = estimates(steps, records)
    done = {step.name for step in steps if is_done(step)}
    lines = []
    for step in steps:
        seconds = expected[step.name]
        about = "unknown" if seconds is None else f"about {duration(seconds)}"
        lines.append(f"{'done' if step.name in done else about:>14}  {step.name}")
    left = [step for step in steps if step.name not in done]
    seconds = [expected[step.name] for step in left]
    total = duration(sum(value for value in seconds if value is not None))
    unknown = seconds.count(None)
    lines.append(
        f"{len(done)} done, {len(left)} left: {total}"
        + (f" and {unknown} of unknown duration" if unknown else "")
    )
    return "\n".join(lines)


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """Hold a file's lock; None where another process has it.

    The system gives it up when the last process that has the descriptor ends, however
    that ends: a lock never stays behind, and a training whose parent was killed keeps
    it (filelock's descriptor is private, so it can't be handed on).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file.fileno()


def run_steps(
    steps: Sequence[Step], say: Callable[[str], None], **facts: object
) -> Outcome:
    """Do what is left, in order; what fails is named, and the rest goes on.

    Steps that other processes work on are passed over, and looked at again as long as
    there is something else to do.

    Arguments
    ---------
    steps : sequence of Step
        Each behind those it needs.
    say : callable
        Takes a line for whoever watches.
    **facts
        What else every record holds.
    """
    outcome, going = Outcome(), True
    while going:
        going, outcome.left = False, {}
        for step in steps:
            if step.name in outcome.failed or is_done(step):
                continue
            if waits := [needed.name for needed in step.needs if not is_done(needed)]:
                outcome.left[step.name] = f"needs {', '.join(waits)}"
                continue
            with locked(step.lock) as descriptor:
                if descriptor is None:
                    outcome.left[step.name] = "another process is at it"
                elif not is_done(step):
                    going = True
                    say(f"{step.name} ...")
                    _do(step, descriptor, outcome, say, facts)
    outcome.done = [step.name for step in steps if is_done(step)]
    return outcome


def _do(
    step: Step,
    descriptor: int,
    outcome: Outcome,
    say: Callable[[str], None],
    facts: dict,
) -> None:
    """Do one step and write its record."""
    started = step.lock.with_suffix(".started")
    whole = not started.exists()
    started.touch()
    needs, start = _ids(step.needs), time.monotonic()
    try:
        found = step.run(descriptor)
    except Exception as error:  # of one step: the others go on
        outcome.failed[step.name] = f"{type(error).__name__}: {error}"
        say(f"{step.name} failed: {outcome.failed[step.name]}")
        return
    seconds = time.monotonic() - start
    record = {
        "id": uuid.uuid4().hex,
        "kinds": step.kinds,
        "wall_seconds": round(seconds, 1),
        "whole": whole,  # whether these seconds were all it took
        "needs": needs,
        "settings": step.settings,
        **facts,
        **found,
    }
    step.record.parent.mkdir(parents=True, exist_ok=True)
    write_text(step.record, json.dumps(record, indent=2) + "\n")
    started.unlink()
    say(f"{step.name} done in {duration(seconds)}")
