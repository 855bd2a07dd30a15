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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from speechbrain_mal.files import write_text


@dataclass(frozen=True)
class Step:
    """One piece of work."""

    name: str  # unique, such as mal_dynamic/1234/train
    kinds: tuple[str, ...]  # its time is that of recorded steps of the first known one
    record: Path  # JSON that says that it is done, and how
    lock: Path  # held by the process that works on it
    settings: dict  # what the products depend on, as JSON can hold it
    products: tuple[Path, ...]  # files and folders that are there when it is done
    needs: tuple["Step", ...]  # steps that come first
    run: Callable[[int], dict]  # takes the lock's descriptor, returns facts to record

    def recorded(self) -> dict[str, Any]:
        """Return the record, empty where there is none that can be read."""
        try:
            return json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def needed(self) -> dict[str, str | None]:
        """Return which results of other steps it rests on now."""
        return {step.name: step.recorded().get("id") for step in self.needs}

    def is_done(self) -> bool:
        """Return whether it and all it needs are done, and belong together."""
        record = self.recorded()
        return (
            all(step.is_done() for step in self.needs)
            and record.get("settings") == self.settings
            and record.get("needs") == self.needed()
            and all(product.exists() for product in self.products)
        )


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
    """Return what is done, what is left, and how long that takes, line by line.

    By the records in a folder, of any depth; those of steps that went on where an
    earlier call had stopped don't say how long one takes.
    """
    known: dict[str, list[float]] = {}
    for path in sorted(records.rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for kind in record["kinds"] if record["whole"] else ():
            known.setdefault(kind, []).append(record["wall_seconds"])
    lines, left = [], []
    for step in steps:
        if step.is_done():
            lines.append(f"{'done':>14}  {step.name}")
            continue
        found = [known[kind] for kind in step.kinds if kind in known]
        left.append(statistics.median(found[0]) if found else None)
        about = f"about {duration(left[-1])}" if found else "unknown"
        lines.append(f"{about:>14}  {step.name}")
    total, unknown = duration(sum(filter(None, left))), left.count(None)
    further = f" and {unknown} of unknown duration" if unknown else ""
    done = len(steps) - len(left)
    return "\n".join([*lines, f"{done} done, {len(left)} left: {total}{further}"])


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


class Rest(NamedTuple):
    """Steps that are not done after all, and why: failed, or had to wait."""

    failed: dict[str, str]
    left: dict[str, str]


def run_steps(
    steps: Sequence[Step], say: Callable[[str], None], **facts: object
) -> Rest:
    """Do what is left, in order; what fails is named, and the rest goes on.

    Each step stands behind those it needs; every record gets the `facts`, too.

    Steps that other processes work on are passed over, and looked at again as long as
    there is something else to do.
    """
    rest, going = Rest({}, {}), True
    while going:
        going = False
        rest.left.clear()
        for step in steps:
            if step.name in rest.failed or step.is_done():
                continue
            if waits := [need.name for need in step.needs if not need.is_done()]:
                rest.left[step.name] = f"needs {', '.join(waits)}"
                continue
            with locked(step.lock) as descriptor:
                if descriptor is None:
                    rest.left[step.name] = "another process is at it"
                elif not step.is_done():
                    going = True
                    say(f"{step.name} ...")
                    try:
                        seconds = _do(step, descriptor, facts)
                        say(f"{step.name} done in {duration(seconds)}")
                    except Exception as error:  # of one step: the others go on
                        rest.failed[step.name] = f"{type(error).__name__}: {error}"
                        say(f"{step.name} failed: {rest.failed[step.name]}")
    return rest


def _do(step: Step, descriptor: int, facts: dict) -> float:
    """Do one step and write its record; return how many seconds that took."""
    started = step.lock.with_suffix(".started")
    whole = not started.exists()
    started.touch()
    needs, start = step.needed(), time.monotonic()
    found = step.run(descriptor)
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
    return seconds
