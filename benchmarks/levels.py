#!/usr/bin/env python3
"""What the input's level and a constant offset do to an enhancer's scores.

> OMP_NUM_THREADS=1 python benchmarks/levels.py --corpus minibank --step 2

Every noisy clip is multiplied by a gain, or gets an offset, and its output is divided
by the gain again. Scores are means over the clips.
"""

import argparse
from pathlib import Path

import soundfile
import torch

from speechbrain_mal.inference import MALEnhancement, shipped_model
from speechbrain_mal.metrics import Clip, evaluate

SCORES = ("pesq", "estoi", "si_sdr")


def main() -> None:
    """Print a Markdown table, a level a row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="a minibank")
    parser.add_argument("--sets", nargs="+", default=["testset"])
    parser.add_argument("--step", type=int, default=2, help="every how many-th clip")
    parser.add_argument("--model", default=str(shipped_model()))
    parser.add_argument(
        "--gains", type=float, nargs="*", default=[10, 0, -10, -20, -30, -40, -60]
    )
    parser.add_argument("--offsets", type=float, nargs="*", default=[0.1])
    parser.add_argument(
        "--level-invariant",
        choices=["on", "off"],
        help="in place of what the model's folder says",
    )
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    enhancer = MALEnhancement.from_hparams(args.model)
    if args.level_invariant:
        model, rate = enhancer.mods.enhancer, enhancer.sample_rate
        model.encoder.front_end.level_invariant = args.level_invariant == "on"
        enhancer = MALEnhancement({"enhancer": model}, {"sample_rate": rate})
    pairs = [pair for name in args.sets for pair in read(args.corpus, name, args.step)]
    print(f"{args.model}, {len(pairs)} clips of {', '.join(args.sets)}\n")
    print("| input | PESQ-WB | ESTOI | SI-SDR (dB) |\n|---|---:|---:|---:|")
    changes = [(f"{gain:+g} dB", 10 ** (gain / 20), 0.0) for gain in args.gains]
    changes += [(f"offset {offset:g}", 1.0, offset) for offset in args.offsets]
    for label, gain, offset in changes:
        clips = [
            Clip(name, enhanced(enhancer, noisy, gain, offset), clean, rate)
            for name, noisy, clean, rate in pairs
        ]
        means = evaluate(clips, SCORES, jobs=args.jobs).means()
        numbers = " | ".join(f"{means[score]:.3f}" for score in SCORES)
        print(f"| {label} | {numbers} |", flush=True)


def read(corpus: Path, name: str, step: int) -> list[tuple]:
    """Return name, noisy and clean clip, and sampling rate in Hz, of a set's clips."""
    pairs = []
    for path in sorted((corpus / f"noisy_{name}_wav_16k").iterdir())[::step]:
        noisy, rate = soundfile.read(path, dtype="float32")
        clean, _ = soundfile.read(corpus / f"clean_{name}_wav_16k" / path.name)
        pairs.append((f"{name}/{path.stem}", torch.from_numpy(noisy), clean, rate))
    return pairs


def enhanced(
    enhancer: MALEnhancement, noisy: torch.Tensor, gain: float, offset: float
) -> object:
    """Return what is made of the changed clip, at the level of the unchanged one."""
    return (enhancer.enhance_batch(gain * noisy[None] + offset)[0] / gain).numpy()


if __name__ == "__main__":
    main()
