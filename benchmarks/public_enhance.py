"""The public package's `enhance()`, for inference.py to time.

Runs in a venv with `deepfilternet==0.5.6` (tests/models/make_golden.py says how to
make it): for each line of standard input it enhances the file once, and prints the
seconds that took.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
from make_golden import public_model  # noqa: E402


def main(
    weights: str, conf: dict[str, int], noisy: str, threads: int, clock: str
) -> None:
    """Answer until standard input ends; `noisy` is a NumPy file, `[1, samples]`."""
    torch.set_num_threads(threads)
    now = {"wall": time.perf_counter, "cpu": time.process_time}[clock]
    model, state = public_model(conf)
    from df.enhance import enhance

    known = model.state_dict()
    for name, value in np.load(weights).items():
        if name.startswith("w."):
            known[name[2:]] = torch.from_numpy(value)
    model.load_state_dict(known)
    model.eval()
    signal = torch.from_numpy(np.load(noisy))
    for _ in sys.stdin:
        start = now()
        enhance(model, state, signal)
        print(now() - start, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
