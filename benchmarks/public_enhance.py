"""The public package's `enhance()`, for inference.py to time.

Runs in a venv with `deepfilternet==0.5.6` (tests/models/make_golden.py says how to
make it): for each line of standard input it enhances one clip, and writes a line with
the seconds to standard output. Weights are random, of the published size.
"""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
from make_golden import COMMON, public_model  # noqa: E402


def main(seconds: float, clock: str) -> None:
    """Answer until standard input ends."""
    torch.set_num_threads(1)
    now = {"wall": time.perf_counter, "cpu": time.process_time}[clock]
    sizes = {"channels": 64, "embedding_size": 256, "df_hidden_size": 256}
    layers = {"erb_layers": 2, "df_layers": 2, "linear_groups": 8}
    frames = {"sample_rate": 48000, "n_fft": 960, "hop_length": 480}
    model, state = public_model({**COMMON, **sizes, **layers, **frames})
    from df.enhance import enhance

    model.eval()
    noisy = 0.1 * torch.randn(1, round(seconds * 48000))
    for _ in sys.stdin:
        start = now()
        enhance(model, state, noisy)
        print(now() - start, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
