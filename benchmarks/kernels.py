"""What each of the package's GPU kernels buys: the same computation without it.

On a CPU there are none; there the GRU's rows are `models/gru.py` against torch's. There
and back, in turns within one run, medians. See README.md in this folder.
"""

import argparse
from unittest import mock

import torch
from torch import nn
from train_step import device_name, measure, median_ratio, timed

from speechbrain_mal import DeepFilterNet2, DeepFilterNetLoss, ModelAsLoss, kernels
from speechbrain_mal.models.gru import GRU


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=96, help="clips of 3 s at 48 kHz")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a clip")
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    args = parser.parse_args()
    args.clock = "wall"
    print(f"torch {torch.__version__}, {device_name(args)}, batch of {args.batch}")
    print("\n| | with, ms | without, ms | ratio |\n|---|---:|---:|---:|")
    for name, compute in computations(args).items():
        tasks = {"with": timed(args, compute), "without": timed(args, without(compute))}
        seconds = measure(tasks, args.repeats)
        ours, theirs = (1000 * sorted(x)[len(x) // 2] for x in seconds.values())
        ratio = median_ratio(seconds["with"], seconds["without"])
        print(f"| {name} | {ours:.1f} | {theirs:.1f} | {ratio:.2f} |")


def computations(args: argparse.Namespace) -> dict:
    """Return what is computed, by name."""
    model = DeepFilterNet2().to(args.device)
    l_df = DeepFilterNetLoss(model.encoder.front_end).to(args.device)
    mal = ModelAsLoss(model.encoder).to(args.device)
    clean = 0.1 * torch.randn(args.batch, round(48000 * args.seconds))
    clean = clean.to(args.device)
    enhanced = (clean + 0.01 * torch.randn_like(clean)).requires_grad_()
    found = {
        "L_df": lambda: l_df(enhanced, clean).backward(),
        "Model as Loss": lambda: mal(enhanced, clean).backward(),
    }
    for size in (64, 128, 256):
        gru = GRU(size, size).to(args.device)
        frames = round(100 * args.seconds) + 2
        x = torch.randn(args.batch, frames, size, device=args.device).requires_grad_()
        found[f"a GRU layer of {size} units"] = lambda gru=gru, x=x: (
            gru(x)[0].sum().backward()
        )
    return found


def without(compute):  # noqa: ANN001, ANN201
    """Return the same computation with PyTorch's own operations."""

    def plain() -> None:
        with (
            mock.patch.object(kernels, "_module", lambda name: None),
            mock.patch.object(GRU, "forward", nn.GRU.forward),
        ):
            compute()

    return plain


if __name__ == "__main__":
    main()
