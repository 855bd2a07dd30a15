"""The public package's DeepFilterNet2, for train_step.py to time.

Runs in a venv with `deepfilternet==0.5.6` (tests/models/make_golden.py says how to
make it): for each line of standard input one forward and backward pass, and a line
with its seconds on standard output.
"""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
from make_golden import COMMON, public_model  # noqa: E402


def main(
    sample_rate: int,
    channels: int,
    hidden: int,
    batch: int,
    seconds: float,
    threads: int,
    clock: str,
    device: str = "cpu",
) -> None:
    """Answer until standard input ends."""
    torch.set_num_threads(threads)
    now = {"wall": time.perf_counter, "cpu": time.process_time}[clock]
    n_fft, hop_length = sample_rate // 50, sample_rate // 100
    model, _ = public_model(
        {
            **COMMON,
            "sample_rate": sample_rate,
            "n_fft": n_fft,
            "hop_length": hop_length,
            "channels": channels,
            "embedding_size": hidden,
            "df_hidden_size": hidden,
            "erb_layers": 2,
            "df_layers": 2,
            "linear_groups": 8,
        }
    )
    model.train().to(device)
    # Noise in place of a spectrum and its features, which the package computes on CPUs.
    frames = (round(seconds * sample_rate) + n_fft) // hop_length
    shapes = [(n_fft // 2 + 1, 2), (COMMON["erb_bands"],), (COMMON["df_bins"], 2)]
    inputs = [torch.randn(batch, 1, frames, *shape, device=device) for shape in shapes]
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in sys.stdin:
        wait()
        start = now()
        model.zero_grad()
        enhanced = model(*inputs)[0]
        enhanced.square().sum().backward()
        wait()
        print(now() - start, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
