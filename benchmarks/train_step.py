"""Time of a training step, as ratios within one run.

What is compared takes turns (A B C A B C ...), so that whatever else the machine does
hits all alike, and medians are printed. See README.md in this folder.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from speechbrain.dataio.dataloader import make_dataloader
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from speechbrain_mal.data import RandomCrop, paired_dataset, prepare_voicebank
from speechbrain_mal.losses import (
    AuxiliaryLoss,
    DeepFilterNetLoss,
    ModelAsLoss,
    WeightedLoss,
)
from speechbrain_mal.models import DeepFilterNet2

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "samples" / "voicebank"
SAMPLES_RATE = 16000

PLAIN = "plain step: forward, L_df, backward, optimizer"
MAL = "mal-dynamic step: the same, with the MAL term"
CLEAN = "part: encoder on clean speech, without a graph"
ENHANCED = "part: encoder on enhanced speech, and back to its input"
FETCH = "data: fetching a batch, no worker processes"
OURS = "ours: waveform to waveform (STFT, features, synthesis included), and back"
PUBLIC = "deepfilternet: spectrum and features to spectrum, and back"

Task = Callable[[], float]  # runs once, returns seconds
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    """Measure what the command line asks for, and print Markdown."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, {os.cpu_count()} CPUs, {args.threads} thread(s); "
        f"{args.sample_rate} Hz, {args.channels} channels, {args.hidden} hidden units, "
        f"batch of {args.batch} x {args.seconds} s; medians of {args.repeats}, "
        f"{args.clock} time; {device_name(args)}, {args.precision}"
    )
    with tempfile.TemporaryDirectory() as folder:
        tasks = training_tasks(args)
        if args.data_folder is not None:
            tasks[FETCH] = timed(args, fetch_batches(args, folder).__next__)
        seconds = measure(tasks, args.repeats)
    print_table(seconds, PLAIN)
    if args.device == "cuda":
        for name in (PLAIN, MAL):
            print_kernels(name, tasks[name])
    added = zip(seconds[PLAIN], seconds[CLEAN], seconds[ENHANCED], strict=True)
    parts = [sum(times) for times in added]
    cost = median_ratio(seconds[MAL], parts)
    print(f"\nmal-dynamic step / (plain step + the two parts): {cost:.2f}")
    if args.data_folder is None:
        print(f"\nData not timed: {SAMPLES} is at {SAMPLES_RATE} Hz (--data-folder).")
    if args.compare_public:
        with PublicModel(args) as public:
            seconds = measure({OURS: our_pass(args), PUBLIC: public}, args.repeats)
        print_table(seconds, PUBLIC)


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """Add the clock, and the public package to compare with."""
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu, with one thread, is for a machine that has other work",
    )
    parser.add_argument(
        "--compare-public",
        metavar="PYTHON",
        help="interpreter of a venv with deepfilternet==0.5.6",
    )


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--sample-rate", type=int, default=16000, help="in Hz")
    parser.add_argument("--channels", type=int, default=16, help="of convolutions")
    parser.add_argument("--hidden", type=int, default=64, help="units of the GRUs")
    parser.add_argument("--batch", type=int, default=16, help="clips of a batch")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a clip")
    parser.add_argument("--repeats", type=int, default=11, help="timed rounds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--precision",
        choices=list(PRECISIONS),
        default="fp32",
        help="of a step, by autocast",
    )
    add_comparison(parser)
    parser.add_argument(
        "--data-folder",
        help=f"VoiceBank-DEMAND; at {SAMPLES_RATE} Hz the repository's sample of it",
    )
    args = parser.parse_args()
    if args.data_folder is None and args.sample_rate == SAMPLES_RATE:
        args.data_folder = SAMPLES
    return args


def training_tasks(args: argparse.Namespace) -> dict[str, Task]:
    """Return the two kinds of step, and what the second one adds."""
    model = make_model(args)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    l_df, mal = DeepFilterNetLoss(model.encoder.front_end), ModelAsLoss(model.encoder)
    conventional = WeightedLoss({"df": l_df}).to(args.device)
    added = {"mal": AuxiliaryLoss(mal)}
    both = WeightedLoss({"df": l_df}, added).to(args.device)
    both.start_phase_two()
    clean, noisy = make_batch(args)
    enhanced = model(noisy).detach().requires_grad_()
    dtype = PRECISIONS[args.precision]
    scaler = torch.GradScaler(args.device, enabled=dtype is torch.float16)

    def step(loss: nn.Module) -> None:
        with torch.autocast(args.device, dtype, enabled=dtype is not None):
            output, outputs = model(noisy, return_outputs=True)
            value = loss(output, clean, None, {"noisy": noisy, **outputs})
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    @torch.no_grad()
    def encode_clean() -> None:
        mal.encoder(clean)

    def encode_enhanced() -> None:
        mal.encoder(enhanced).stages[-1].abs().mean().backward()

    return {
        PLAIN: timed(args, lambda: step(conventional)),
        MAL: timed(args, lambda: step(both)),
        CLEAN: timed(args, encode_clean),
        ENHANCED: timed(args, encode_enhanced),
    }


def fetch_batches(args: argparse.Namespace, folder: str) -> Iterator:
    """Yield training batches for ever, read in this process."""
    prepare_voicebank(args.data_folder, folder, args.sample_rate)
    crop = RandomCrop(args.seconds, args.sample_rate)
    dataset = paired_dataset(Path(folder) / "train.json", args.data_folder, crop)
    loader = make_dataloader(
        dataset, batch_size=args.batch, num_workers=0, shuffle=True, drop_last=True
    )
    if not len(loader):
        raise SystemExit(f"--batch {args.batch}: there are {len(dataset)} clips only.")
    while True:
        crop.set_epoch(crop.epoch + 1)
        yield from loader


def our_pass(args: argparse.Namespace) -> Task:
    """Return this project's model's forward and backward pass."""
    model = make_model(args)
    _, noisy = make_batch(args)

    def forward_and_backward() -> None:
        model.zero_grad()
        model(noisy).square().sum().backward()

    return timed(args, forward_and_backward)


class PublicModel:
    """The public package's model, in a process of its own that waits for its turn.

    Arguments
    ---------
    args : argparse.Namespace
        The sizes, and the interpreter, `compare_public`.
    """

    def __init__(self, args: argparse.Namespace):
        names = ("sample_rate", "channels", "hidden", "batch", "seconds")
        names = (*names, "threads", "clock", "device")
        sizes = {name: getattr(args, name) for name in names}
        script = HERE / "public_model.py"
        self.command = [args.compare_public, str(script), json.dumps(sizes)]

    def __enter__(self) -> "PublicModel":
        """Start the process."""
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End the process: its standard input ends."""
        self.process.communicate()

    def __call__(self) -> float:
        """Return the seconds that one forward and backward pass took."""
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, as the empty answer tells
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.command[1]} has failed: see above.")
        return float(answer)


def make_model(args: argparse.Namespace) -> DeepFilterNet2:
    """Return a model in training mode."""
    return DeepFilterNet2(
        sample_rate=args.sample_rate,
        channels=args.channels,
        embedding_size=args.hidden,
        df_hidden_size=args.hidden,
    ).to(args.device)


def make_batch(args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """Return clean and noisy, noise both, `[B, samples]`."""
    samples = round(args.seconds * args.sample_rate)
    clean = 0.1 * torch.randn(args.batch, samples, device=args.device)
    return clean, clean + 0.05 * torch.randn_like(clean)


def timed(args: argparse.Namespace, function: Callable[[], object]) -> Task:
    """Return a task that calls `function`, and waits for the device's end of it."""
    clock = CLOCKS[args.clock]
    on_gpu = getattr(args, "device", "cpu") == "cuda"
    wait = torch.cuda.synchronize if on_gpu else lambda: None

    def task() -> float:
        wait()
        start = clock()
        function()
        wait()
        return clock() - start

    return task


def measure(tasks: dict[str, Task], repeats: int) -> dict[str, list[float]]:
    """Return each task's seconds, of `repeats` rounds after one that isn't counted."""
    rounds = [
        {name: task() for name, task in tasks.items()} for _ in range(repeats + 1)
    ]
    return {name: [times[name] for times in rounds[1:]] for name in tasks}


def print_kernels(name: str, task: Task) -> None:
    """Print how many kernels a task starts, their time, and its peak memory."""
    torch.cuda.reset_peak_memory_stats()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        task()
    kernels = [e for e in profiler.key_averages() if e.device_type == DeviceType.CUDA]
    number = sum(kernel.count for kernel in kernels)
    busy = sum(kernel.self_device_time_total for kernel in kernels) / 1e3
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"\n{name.split(':')[0]}: {number} kernels, {busy:.1f} ms; {peak:.1f} GiB")


def device_name(args: argparse.Namespace) -> str:
    """Return the card's name, or that there is none in use."""
    return torch.cuda.get_device_name() if args.device == "cuda" else "no GPU"


def median_ratio(times: list[float], others: list[float]) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def print_table(seconds: dict[str, list[float]], reference: str) -> None:
    """Print medians, and their ratios to the reference's."""
    print(f"\n| what | ms | over '{reference.split(':')[0]}' |\n|---|---:|---:|")
    for name, times in seconds.items():
        ratio = median_ratio(times, seconds[reference])
        print(f"| {name} | {1000 * statistics.median(times):.0f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
