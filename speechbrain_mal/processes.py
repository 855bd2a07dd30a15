"""Tasks in worker processes, of one thread each, that do not outlive their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from joblib.externals.loky import FIRST_COMPLETED, ProcessPoolExecutor, wait
from joblib.externals.loky.process_executor import TerminatedWorkerError

DIED = "the process died (out of memory, or killed)"

# Several threads would compete, and could add up in another order.
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")
}
_POLL_SECONDS = 0.5


def run_tasks(
    function: Callable,
    tasks: Sequence[tuple],
    jobs: int,
    start: Callable | None = None,
    start_arguments: tuple = (),
) -> Iterator[tuple[int, Any]]:
    """Yield the numbers of tasks with their results `function(*task)`, as they come.

    The function is a module's; what it raises ends the call. A task at which its
    process dies has the result `DIED`, and takes no other with it. Each of the `jobs`
    processes calls `start(*start_arguments)` when it begins.

    Example
    -------
    >>> sorted(run_tasks(divmod, [(7, 2), (9, 4)], jobs=2))
    [(0, (3, 1)), (1, (2, 1))]
    """
    waiting = dict(enumerate(tasks))
    begin = start, start_arguments
    while waiting:
        try:
            yield from _run(function, waiting, jobs, begin)
        except TerminatedWorkerError:
            # Which of those at work killed its process is not known: one at a time.
            for number in list(waiting)[: 2 * jobs]:
                alone = {number: waiting.pop(number)}
                try:
                    yield from _run(function, alone, 1, begin)
                except TerminatedWorkerError:
                    yield number, DIED


def _run(
    function: Callable, waiting: dict[int, tuple], jobs: int, begin: tuple
) -> Iterator[tuple[int, Any]]:
    """Run tasks, the first `2 * jobs` at a time, and take what is done out of them."""
    pool = ProcessPoolExecutor(
        min(jobs, len(waiting)),
        initializer=_begin,
        initargs=(os.getpid(), *begin),
        env=_ONE_THREAD,
    )
    numbers, queue = {}, iter(list(waiting.items()))
    try:
        while True:
            # Raised in the middle of these, Ctrl-C would leave the pool's locks held,
            # and `shutdown` would wait for ever: it comes after them.
            with _without_interrupts():
                while len(numbers) < 2 * jobs and (task := next(queue, None)):
                    numbers[pool.submit(function, *task[1])] = task[0]
                done = wait(numbers, _POLL_SECONDS, FIRST_COMPLETED).done
            if not numbers:
                return
            for future in done:
                result, number = future.result(), numbers.pop(future)
                del waiting[number]
                yield number, result
    finally:
        pool.shutdown(kill_workers=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back, and keep it from the processes that start here."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int, start: Callable | None, arguments: tuple) -> None:
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if start:
        start(*arguments)


def _watch(parent: int) -> None:
    """End this process soon after its parent, however that ended."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)
