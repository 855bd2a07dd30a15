"""Mixtures a second that one worker makes, against what a training step consumes.

What is compared takes turns (A B C A B C ...), and medians are printed. See README.md
in this folder.
"""

import argparse
import itertools
import multiprocessing
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from train_step import CLOCKS, measure, timed

from speechbrain_mal.data import (
    Mixing,
    ShardedMixtures,
    mixed_dataset,
    pack_shards,
    prepare_dns,
)
from speechbrain_mal.losses import DeepFilterNetLoss, WeightedLoss
from speechbrain_mal.models import DeepFilterNet2

SHARED = Path(__file__).parent.parent.parent / "shared"
MIXTURES = 20  # of one timed call
EXAMPLES = 48000  # of an epoch, as in the recipe


def main() -> None:
    """Measure what the command line asks for, and print Markdown."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    print(
        f"torch {torch.__version__}, {os.cpu_count()} CPUs; {args.sample_rate} Hz, "
        f"mixtures of {args.seconds} s, one worker; training step: {args.channels} "
        f"channels, batch of {args.batch}, {args.threads} thread(s) on {args.device}; "
        "medians of "
        f"{args.repeats}, {args.clock} time"
    )
    with tempfile.TemporaryDirectory() as folder:
        prepare_dns(
            args.data_folder,
            folder,
            args.sample_rate,
            *(args.clean_folder, args.noise_folder, args.rir_folder),
            valid_share=0.05,
        )
        pack_shards(folder, args.data_folder, f"{folder}/shards", max_bytes=2**24)
        tasks = {}
        for name, p_reverb in (("dry", 0.0), ("reverberant", 1.0), ("as trained", 0.1)):
            tasks[f"plain files, {name}"] = timed(args, plain(args, folder, p_reverb))
        tasks["shards, as trained"] = timed(args, sharded(args, folder))
        tasks["training step"] = timed(args, training_step(args))
        rates = table(args, measure(tasks, args.repeats))
        print(
            f"\nOne worker makes {rates['plain files, as trained']:.1f} times what the "
            "training step consumes."
        )
        print_memory(args, folder)


def mixing(args: argparse.Namespace, p_reverb: float) -> Mixing:
    """Return the recipe's settings, but for reverberation: 2 to 5 noises."""
    return Mixing(seconds=args.seconds, sample_rate=args.sample_rate, p_reverb=p_reverb)


def plain(args: argparse.Namespace, folder: str, p_reverb: float) -> Callable:
    """Return what makes the next mixtures out of plain files."""
    manifests = {k: f"{folder}/train_{k}.json" for k in ("clean", "noise", "rir")}
    dataset = mixed_dataset(
        mixing(args, p_reverb), manifests, args.data_folder, EXAMPLES
    )
    numbers = itertools.cycle(range(EXAMPLES))

    def make() -> None:
        for _ in range(MIXTURES):
            dataset[next(numbers)]

    return make


def sharded(args: argparse.Namespace, folder: str) -> Callable:
    """Return what makes the next mixtures out of shards."""
    dataset = ShardedMixtures(mixing(args, 0.1), f"{folder}/shards", 10**6)
    mixtures = iter(dataset)
    return lambda: [next(mixtures) for _ in range(MIXTURES)]


def training_step(args: argparse.Namespace) -> Callable:
    """Return a step with L_df."""
    size = {"embedding_size": args.hidden, "df_hidden_size": args.hidden}
    model = DeepFilterNet2(args.sample_rate, channels=args.channels, **size)
    front_end = model.to(args.device).encoder.front_end
    loss = WeightedLoss({"df": DeepFilterNetLoss(front_end)}).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    samples = round(args.seconds * args.sample_rate)
    clean = 0.1 * torch.randn(args.batch, samples, device=args.device)
    noisy = clean + 0.1 * torch.randn_like(clean)

    def step() -> None:
        enhanced, outputs = model(noisy, return_outputs=True)
        loss(enhanced, clean, None, outputs).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def table(
    args: argparse.Namespace, seconds: dict[str, list[float]]
) -> dict[str, float]:
    """Print mixtures a second; return how many times the step's each task makes."""
    step = statistics.median(seconds.pop("training step")) / args.batch
    print("\n| | mixtures a second | times what training consumes |\n|---|---:|---:|")
    times = {}
    for name, values in seconds.items():
        rate = MIXTURES / statistics.median(values)
        times[name] = rate * step
        print(f"| {name} | {rate:.1f} | {times[name]:.1f} |")
    print(f"| training step | {1 / step:.2f} | 1.0 |")
    return times


def print_memory(args: argparse.Namespace, folder: str) -> None:
    """Print the memory of a worker along an epoch, of each kind in a process."""
    made = [args.epoch // 10, args.epoch // 2, args.epoch]
    context = multiprocessing.get_context("spawn")  # nothing of this process in it
    with context.Pool(1, maxtasksperchild=1) as pool:
        kinds = [(args, folder, made, kind) for kind in ("plain", "shards")]
        plain_mib, shards_mib = pool.starmap(memory, kinds, chunksize=1)
    print("\n| mixtures | worker on plain files, MiB | on shards, MiB |")
    print("|---:|---:|---:|")
    for row in zip(made, plain_mib, shards_mib, strict=True):
        print(f"| {row[0]} | {row[1]:.1f} | {row[2]:.1f} |")


def memory(
    args: argparse.Namespace, folder: str, targets: list[int], kind: str
) -> list[float]:
    """Return this process' memory in MiB after so many mixtures."""
    torch.set_num_threads(1)
    make = plain(args, folder, 0.1) if kind == "plain" else sharded(args, folder)
    made, found = 0, []
    for target in targets:
        while made < target:
            make()
            made += MIXTURES
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found.append(pages * resource.getpagesize() / 2**20)
    return found


def parse_arguments() -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-folder", default=SHARED / "corpus48", type=Path)
    parser.add_argument("--clean-folder", default="clean_fullband")
    parser.add_argument("--noise-folder", default="noise_fullband")
    parser.add_argument("--rir-folder", default="impulse_responses")
    parser.add_argument("--sample-rate", type=int, default=48000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epoch", type=int, default=1000, help="mixtures, for memory")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="of the training step"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
