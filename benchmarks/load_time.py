#!/usr/bin/env python3
"""From nothing to a loaded enhancer, in fresh processes: how long one waits.

> OMP_NUM_THREADS=1 python benchmarks/load_time.py --repeats 9

Beside it stand torch alone, of which no loader can take less, and SpeechBrain's own
interface with the same folder. `--folder` is the shipped enhancer.
"""

import argparse
import statistics
import subprocess
import sys

from speechbrain_mal.inference import shipped_model

PROGRAMS = {
    "torch alone": "import torch",
    "MALEnhancement": "from speechbrain_mal import MALEnhancement as M; "
    "M.from_hparams(sys.argv[1])",
    "WaveformEnhancement": "from speechbrain.inference.enhancement import "
    "WaveformEnhancement as M; M.from_hparams(sys.argv[1])",
}


def main() -> None:
    """Run each program in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--folder", default=str(shipped_model()))
    options = parser.parse_args()
    seconds = {name: [] for name in PROGRAMS}
    for _ in range(options.repeats):  # in turns: other load on the machine hits all
        for name, program in PROGRAMS.items():
            timed = (
                "import sys, time; begin = time.perf_counter(); "
                f"{program}; print(time.perf_counter() - begin)"
            )
            command = [sys.executable, "-c", timed, options.folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(float(done.stdout.split()[-1]))
    for name, values in seconds.items():
        print(
            f"{name:20} {statistics.median(values):6.2f} s  (least {min(values):.2f})"
        )


if __name__ == "__main__":
    main()
