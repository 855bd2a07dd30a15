"""Speed and memory of enhancement, as ratios within one run.

What is compared takes turns (A B C A B C ...), so that whatever else the machine does
hits all alike, and medians are printed. See README.md in this folder.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly
from torch import nn
from train_step import (
    PublicModel,
    Task,
    add_comparison,
    measure,
    median_ratio,
    timed,
)

from speechbrain_mal.inference import (
    MALEnhancement,
    OnnxDeepFilterNet2,
    Stream,
    StreamingDeepFilterNet2,
    export_onnx,
    fold,
    onnx_engine,
)
from speechbrain_mal.inference.folding import InferenceGRU
from speechbrain_mal.models import DeepFilterNet2
from speechbrain_mal.models.layers import ConvBlock, TransposedConvBlock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "models"))
from make_golden import config_ini  # noqa: E402

SHARED = HERE.parent.parent / "shared"
OFFLINE = "offline: fold(model)(noisy)"
PLAIN = "offline, the model as it is trained"
TORCH_GRU = "offline, folded, with torch's GRU"
NUMPY_GRU = "offline, not folded, with the GRU in NumPy"
PLAIN_STREAM = "stream in pieces of one hop, PyTorch, not folded"
TORCH = "stream in pieces of one hop, PyTorch"
TORCH_GRU_STREAM = "stream in pieces of one hop, PyTorch, folded, with torch's GRU"
ONNX = "stream in pieces of one hop, onnxruntime"
ONNX_MATRIX = "stream in pieces of one hop, onnxruntime, one matrix each way"
PUBLIC = "offline: deepfilternet's enhance()"
SMALL = {  # for memory, which does not depend on it: an hour takes half a minute
    "sample_rate": 16000,
    "channels": 8,
    "embedding_size": 32,
    "df_hidden_size": 32,
}
# The numbers of `conf` in the file of public weights, in their order.
CONF = (
    *("sample_rate", "n_fft", "hop_length", "erb_bands", "df_bins", "min_erb_bins"),
    *("lookahead", "df_order", "df_lookahead", "channels", "embedding_size"),
    *("df_hidden_size", "erb_layers", "df_layers", "linear_groups"),
)


def main() -> None:
    """Measure what the command line asks for, and print Markdown."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    if args.peak_of is not None:
        print(peak_mib(args))
        return
    print(
        f"torch {torch.__version__}, {os.cpu_count()} CPUs, {args.threads} thread(s); "
        f"{args.seconds} s of speech in noise; medians of {args.repeats}, "
        f"{args.clock} time, on {args.device}"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure_speed(args, Path(folder))
        if args.minutes and args.device == "cpu":
            measure_memory(args, Path(folder))


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--weights",
        default=SHARED / "golden" / "dfn2_48k.npz",
        help="NumPy file of a public model: `conf` and `w.<name>`",
    )
    parser.add_argument(
        "--model", type=Path, help="exported folder, in the place of --weights"
    )
    parser.add_argument(
        "--corpus",
        default=SHARED / "corpus48",
        help="folder with clean_fullband/ and noise_fullband/",
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of speech")
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="cuda: offline alone"
    )
    add_comparison(parser)
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="*",
        default=[1, 10, 60],
        help="lengths of the files whose enhancement's peak memory is measured",
    )
    parser.add_argument(
        "--full-model",
        action="store_true",
        help="measure memory with the same model, not with a small one",
    )
    parser.add_argument("--peak-of", metavar="FILE", help=argparse.SUPPRESS)
    return parser.parse_args()


# ----------------------------------------------------------------------------- speed


def measure_speed(args: argparse.Namespace, folder: Path) -> None:
    """Print real-time factors, and ratios to the public package's."""
    model = model_of(args).to(args.device)
    noisy = speech_in_noise(args, model.sample_rate).to(args.device)
    streaming = StreamingDeepFilterNet2(fold(model))
    tasks: dict[str, Task] = {
        PLAIN: timed(args, offline(model, noisy)),
        OFFLINE: timed(args, offline(streaming.model, noisy)),
        TORCH_GRU: timed(args, offline(with_torch_gru(fold(model)), noisy)),
        NUMPY_GRU: timed(args, offline(not_folded(fold(model)), noisy)),
    }
    if args.device == "cpu":  # live enhancement is a CPU's work
        export_onnx(model, folder / "enhancer.onnx")
        onnx = OnnxDeepFilterNet2(folder / "enhancer.onnx", args.threads)
        plain = StreamingDeepFilterNet2(model)
        tasks[PLAIN_STREAM] = timed(args, by_hops(lambda: Stream(plain), noisy))
        tasks[TORCH] = timed(args, by_hops(lambda: Stream(streaming), noisy))
        slower = StreamingDeepFilterNet2(with_torch_gru(fold(model)))
        tasks[TORCH_GRU_STREAM] = timed(args, by_hops(lambda: Stream(slower), noisy))
        tasks[ONNX] = timed(args, by_hops(onnx.stream, noisy))
        with mock.patch.object(onnx_engine, "RealFourier", MatrixFourier):
            export_onnx(model, folder / "matrix.onnx")
        matrix = OnnxDeepFilterNet2(folder / "matrix.onnx", args.threads)
        tasks[ONNX_MATRIX] = timed(args, by_hops(matrix.stream, noisy))
    if args.compare_public:
        with PublicEnhance(args, noisy, folder) as public:
            seconds = measure({**tasks, PUBLIC: public}, args.repeats)
    else:
        seconds = measure(tasks, args.repeats)
    reference = PUBLIC if args.compare_public else PLAIN
    print(f"\n| what | real-time factor | over '{reference}' |\n|---|---:|---:|")
    for name, times in seconds.items():
        factor = statistics.median(times) / args.seconds
        ratio = median_ratio(times, seconds[reference])
        print(f"| {name} | {factor:.4f} | {ratio:.2f} |")


def offline(model: DeepFilterNet2, noisy: torch.Tensor) -> Callable[[], object]:
    """Return what enhances `noisy`, `[samples]`, at once."""

    @torch.inference_mode()
    def enhance() -> torch.Tensor:
        return model(noisy[None])

    return enhance


def with_torch_gru(folded: DeepFilterNet2) -> DeepFilterNet2:
    """Undo one of the two things that `fold` does: the GRU in NumPy."""
    for module in list(folded.modules()):
        for name, child in module.named_children():
            if isinstance(child, InferenceGRU):
                setattr(module, name, child.gru)
    return folded


def not_folded(folded: DeepFilterNet2) -> DeepFilterNet2:
    """Undo the other one: the weights that are computed once."""
    for module in folded.modules():
        if isinstance(module, ConvBlock | TransposedConvBlock):
            module.folded = None
    return folded


class MatrixFourier(nn.Module):
    """What `RealFourier` does, as one matrix there and one back."""

    def __init__(self, window: torch.Tensor, scale: float):
        super().__init__()
        n_fft, window = len(window), window.double()
        there = torch.fft.rfft(torch.diag(window * scale))  # [n_fft, bins]
        bins = torch.eye(n_fft // 2 + 1, dtype=torch.complex128)
        parts = torch.stack([bins, 1j * bins], dim=1).flatten(0, 1)
        back = torch.fft.irfft(parts, n=n_fft, norm="forward") * window
        self.register_buffer("there", torch.view_as_real(there).flatten(1).float())
        self.register_buffer("back", back.float())

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Map a frame `[1, n_fft]` to its spectrum `[1, 1, bins, 2]`."""
        return (samples @ self.there).view(1, 1, -1, 2)

    def overlap_add(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Map `[1, 1, bins, 2]` to a frame `[1, n_fft]`."""
        return spectrum.reshape(1, -1) @ self.back


def by_hops(
    new_stream: Callable[[], Stream], noisy: torch.Tensor
) -> Callable[[], object]:
    """Return what sends `noisy` through a stream in pieces of 10 ms."""

    def enhance() -> None:
        stream = new_stream()
        for piece in noisy.split(stream.sample_rate // 100):
            stream.push(piece)
        stream.flush()

    return enhance


class PublicEnhance(PublicModel):
    """The public package's `enhance()`, in a process that waits for its turn.

    Arguments
    ---------
    args : argparse.Namespace
        The weights, and the interpreter, `compare_public`.
    noisy : Tensor
        `[samples]`.
    folder : Path
        Where a file of it is written.
    """

    def __init__(self, args: argparse.Namespace, noisy: torch.Tensor, folder: Path):
        np.save(folder / "noisy.npy", noisy[None].numpy())
        job = {
            "weights": str(args.weights),
            "conf": configuration(args.weights),
            "noisy": str(folder / "noisy.npy"),
            "threads": args.threads,
            "clock": args.clock,
        }
        script = str(HERE / "public_enhance.py")
        self.command = [args.compare_public, script, json.dumps(job)]


def configuration(weights: str | Path) -> dict[str, int]:
    """Return the arguments of `DeepFilterNet2` that the weights are for."""
    with np.load(weights) as file:
        conf = dict(zip(CONF, file["conf"].tolist(), strict=True))
    conf["erb_layers"] -= 1  # the package counts the embedding's layer, too
    return conf


def model_of(args: argparse.Namespace) -> DeepFilterNet2:
    """Return the model of `--model`, or of `--weights`."""
    if args.model is None:
        return public_weights_model(args.weights)
    if args.compare_public:
        raise SystemExit("--compare-public: its package has no such model as --model.")
    model = MALEnhancement.from_hparams(args.model).mods.enhancer
    return model.eval().requires_grad_(False)


def public_weights_model(weights: str | Path) -> DeepFilterNet2:
    """Return the model of a file of public weights."""
    conf = configuration(weights)
    model = DeepFilterNet2(**conf)
    with np.load(weights) as file, tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.ini"
        config.write_text(config_ini(conf))
        model.load_public_weights(
            {
                name[2:]: torch.from_numpy(value)
                for name, value in file.items()
                if name.startswith("w.")
            },
            config,
        )
    return model.eval().requires_grad_(False)


def speech_in_noise(args: argparse.Namespace, sample_rate: int) -> torch.Tensor:
    """Return clean speech and noise of half its level, `[samples]`."""
    samples = round(args.seconds * sample_rate)
    if not Path(args.corpus).is_dir():
        print(f"--corpus {args.corpus} is not there: white noise in its place.")
        return 0.1 * torch.randn(samples)
    signals = []
    for kind in ("clean_fullband", "noise_fullband"):
        files = sorted((Path(args.corpus) / kind).rglob("*.wav"))
        if not files:
            raise SystemExit(f"--corpus {args.corpus}: no {kind}/**/*.wav.")
        clips = []
        for file in files:
            clip, rate = soundfile.read(file, dtype="float32", always_2d=True)
            clips.append(resample_poly(clip[:, 0], sample_rate, rate))
        signals.append(np.resize(np.concatenate(clips), samples))
    clean, noise = signals
    return torch.from_numpy(clean + 0.5 * noise * (clean.std() / noise.std()))


# ---------------------------------------------------------------------------- memory


def measure_memory(args: argparse.Namespace, folder: Path) -> None:
    """Print the peak memory of enhancing files, each in a process of its own."""
    which = "the model above" if args.full_model else "a small model, 16 kHz"
    print(f"\n| `enhance_file`, {which} | peak memory, MiB |\n|---|---:|")
    rate = model_of(args).sample_rate if args.full_model else SMALL["sample_rate"]
    minute = (0.1 * np.random.default_rng(0).standard_normal(60 * rate)).clip(-1, 1)
    for minutes in args.minutes:
        path = folder / "noisy.wav"
        with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
            left = round(minutes * 60 * rate)
            while left > 0:
                file.write(minute[:left])
                left -= len(minute)
        command = [sys.executable, __file__, *sys.argv[1:], "--peak-of", str(path)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(f"| {minutes:g} min | {float(run.stdout):.0f} |", flush=True)


def peak_mib(args: argparse.Namespace) -> float:
    """Enhance a file, and return this process's peak resident memory in MiB."""
    if args.full_model:
        model = model_of(args)
    else:
        model = DeepFilterNet2(**SMALL).eval().requires_grad_(False)
    enhancer = MALEnhancement({"enhancer": model}, {"sample_rate": model.sample_rate})
    enhancer.enhance_file(args.peak_of, Path(args.peak_of).with_name("enhanced.wav"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
