"""Files enhanced one after another, or in processes of one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from joblib.externals.loky import ProcessPoolExecutor, as_completed
from joblib.externals.loky.process_executor import TerminatedWorkerError

if TYPE_CHECKING:
    from speechbrain_mal.inference.enhancement import MALEnhancement

Task = tuple[Path, Path, float]  # input, output, seconds of audio


def enhance_each(
    enhancer: MALEnhancement,
    tasks: list[Task],
    jobs: int,
    options: dict,
    progress: Callable[[float], None],
) -> Iterator[tuple[Task, str | None]]:
    """Yield tasks as they are done, each with what went wrong, if anything."""
    if jobs < 2:
        for task in tasks:
            yield task, _enhance(enhancer, *task[:2], {**options, "progress": progress})
        return
    waiting = dict(enumerate(tasks))
    # Workers whose parent was killed end after the timeout, idle.
    pool = ProcessPoolExecutor(
        jobs, timeout=60, initializer=_start_worker, initargs=(enhancer,)
    )
    try:
        futures = {
            pool.submit(_enhance_here, *task[:2], options): number
            for number, task in waiting.items()
        }
        for future in as_completed(futures):
            failure = future.result()
            task = waiting.pop(futures[future])
            progress(task[2])
            yield task, failure
    except TerminatedWorkerError:
        names = ", ".join(str(task[0]) for task in list(waiting.values())[:jobs])
        raise OSError(
            f"A process died (out of memory, or killed) at one of {names}. What is "
            "done is kept: the same call goes on; with one job it names the file."
        ) from None
    finally:
        pool.shutdown(kill_workers=True)


_worker_enhancer: MALEnhancement | None = None  # of a process of `enhance_each`


def _start_worker(enhancer: MALEnhancement) -> None:
    global _worker_enhancer
    import torch

    torch.set_num_threads(1)
    _worker_enhancer = enhancer


def _enhance_here(source: Path, target: Path, options: dict) -> str | None:
    return _enhance(_worker_enhancer, source, target, options)


def _enhance(
    enhancer: MALEnhancement, source: Path, target: Path, options: dict
) -> str | None:
    """Enhance one file; return what is wrong with it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        enhancer.enhance_file(source, target, **options)
    except ValueError as error:  # of the file; what can't be written ends the call
        return str(error)
    return None
