#!/usr/bin/env python3
"""Time of an evaluation: in one process and in several, and its memory by clips.

    python benchmarks/evaluation.py CLEAN_FOLDER ENHANCED_FOLDER --jobs 2

Every number is of a process of its own that runs `speechbrain-mal evaluate`, so what a
user waits for is in it: starting Python, the workers, and loading models.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(clean: Path, enhanced: Path, metrics: list[str], *further: str) -> float:
    """Evaluate in a new process; return the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "speechbrain_mal.cli", "evaluate"]
        command += ["--clean", clean, "--enhanced", enhanced, "-o", folder]
        command += ["--metrics", *metrics, *further]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in (0, 3):
            sys.exit(done.stderr)
        return time.perf_counter() - start


def peak_of_children() -> float:
    """Return the largest memory that one process started from here has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clean", type=Path)
    parser.add_argument("enhanced", type=Path)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--metrics", nargs="+", default=["intrusive"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--option", action="append", default=[])
    options = parser.parse_args()
    further = [x for option in options.option for x in ("--option", option)]
    pair = options.clean, options.enhanced, options.metrics

    times = {jobs: [] for jobs in ("1", options.jobs)}
    for _ in range(options.repeats):  # in turns: what disturbs, disturbs both
        for jobs, seconds in times.items():
            seconds.append(run(*pair, "--jobs", jobs, *further))
    medians = {jobs: sorted(s)[len(s) // 2] for jobs, s in times.items()}
    clips = len(list(options.enhanced.iterdir()))
    for jobs, seconds in medians.items():
        print(f"{clips} clips, {jobs} process(es): {seconds:.1f} s")
    print(f"ratio: {medians['1'] / medians[options.jobs]:.2f}")

    # In a process, clips one after another: what stays from each would add up.
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(options.enhanced.iterdir())
        for number in (4, 16, 64):
            place = Path(folder) / str(number)
            for kind, source in (("c", options.clean), ("e", options.enhanced)):
                (place / kind).mkdir(parents=True)
                for i in range(number):
                    path = files[i % 4]  # the same four clips, again and again
                    target = place / kind / f"{i:03}{path.suffix}"
                    shutil.copy(source / path.name, target)
            run(place / "c", place / "e", options.metrics, "--jobs", "1", *further)
            print(f"{number} clips: peak {peak_of_children():.0f} MiB so far")


if __name__ == "__main__":
    main()
