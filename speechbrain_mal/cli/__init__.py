"""The command line, a command a file: it parses, calls, and prints.

Exit status: 0 when all went well, 1 after an error, 2 for wrong arguments, 3 when the
result is there but not every clip could be read or scored.
"""

import argparse
import contextlib
import shlex
import signal
import sys

from speechbrain_mal.cli import (
    compare,
    enhance,
    evaluate,
    export,
    iterate,
    listen,
    live,
)
from speechbrain_mal.cli.scoring import say


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="speechbrain-mal",
        description="Speech enhancement with the model itself as the loss.",
        epilog=__doc__.split("\n\n")[1],
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (enhance, live, evaluate, compare, listen, iterate, export):
        command.add(commands)
    arguments = sys.argv[1:] if arguments is None else arguments
    if "" in arguments:
        parser.error("an argument is empty: a variable of the shell that is not set?")
    options = parser.parse_args(arguments)
    options.line = shlex.join(["speechbrain-mal", *arguments])
    before = None
    with contextlib.suppress(ValueError):  # another thread's handlers stay
        before = signal.signal(signal.SIGTERM, _end)
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        if name := getattr(error, "filename", None):  # of the system's errors
            error = f"{name}: {error.strerror}."
        say(f"speechbrain-mal {options.command}: {error}", sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: the same command goes on where it was.", file=sys.stderr)
        return 130
    finally:
        if before is not None:  # whoever calls this within a process
            signal.signal(signal.SIGTERM, before)


def _end(*_: object) -> None:
    """End as after an error, so that nothing half-written stays."""
    sys.exit(128 + signal.SIGTERM)
