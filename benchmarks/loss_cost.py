"""Time and memory of a training step with each loss, against the plain step.

Every loss has a process of its own, so that its peak memory is its own; they take turns
(A B C A B C ...) with one step each. See README.md in this folder.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from multiprocessing.connection import Connection

import torch
from torch import nn

from speechbrain_mal.losses import (
    AuxiliaryLoss,
    DeepFeatureLoss,
    DeepFilterNetLoss,
    ModelAsLoss,
    WeightedLoss,
)
from speechbrain_mal.models import (
    CDPAMEncoder,
    DeepFilterNet2,
    DistillMOSEncoder,
    InputFeatures,
    SelfSupervisedEncoder,
)

PLAIN = "L_df"


def added_loss(name: str, model: DeepFilterNet2, sample_rate: int) -> nn.Module | None:
    """Return the loss that is added to L_df, or None."""
    encoder = model.encoder
    if name == PLAIN:
        return None
    if name in ("mal", "mal, frozen encoder"):
        return ModelAsLoss(encoder)
    if name == "mal, every layer":
        return ModelAsLoss(encoder, layers=range(7), normalize=True)
    if name == "filterbank":
        features = InputFeatures(encoder.front_end)
        return DeepFeatureLoss(features, layers=[0, 1], normalize=True)
    if name == "CDPAM":
        return DeepFeatureLoss(CDPAMEncoder(sample_rate))
    if name == "Distill-MOS":
        return DeepFeatureLoss(DistillMOSEncoder(sample_rate))
    network = wavlm_base_plus()
    if name == "WavLM, last convolution":
        return DeepFeatureLoss(SelfSupervisedEncoder(network, sample_rate))
    encoder = SelfSupervisedEncoder(network, sample_rate, transformer=True)
    return DeepFeatureLoss(encoder)


LOSSES = [
    PLAIN,
    "mal",
    "mal, frozen encoder",
    "mal, every layer",
    "filterbank",
    "CDPAM",
    "Distill-MOS",
    "WavLM, last convolution",
    "WavLM, last layer",
]


def wavlm_base_plus() -> nn.Module:
    """Return WavLM-Base-Plus's architecture with random weights, as SpeechBrain's."""
    from transformers import WavLMConfig, WavLMModel

    network = nn.Module()
    network.model = WavLMModel(WavLMConfig())  # its defaults are WavLM-Base's
    network.normalize_wav = False
    return network


def work(connection: Connection, name: str, args: argparse.Namespace) -> None:
    """Take a training step whenever asked to; answer its seconds and the peak."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = DeepFilterNet2(
        args.sample_rate,
        channels=args.channels,
        embedding_size=args.hidden,
        df_hidden_size=args.hidden,
    )
    added = added_loss(name, model, args.sample_rate)
    model.to(args.device)
    loss = WeightedLoss(
        {"df": DeepFilterNetLoss(model.encoder.front_end)},
        added={} if added is None else {"added": AuxiliaryLoss(added)},
    ).to(args.device)
    loss.start_phase_two()
    model.encoder.requires_grad_(name != "mal, frozen encoder")
    weights = sum(p.numel() for p in loss.added.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    samples = round(args.seconds * args.sample_rate)
    clean = 0.1 * torch.randn(args.batch, samples, device=args.device)
    noisy = clean + 0.05 * torch.randn_like(clean)
    on_gpu = args.device == "cuda"
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    before = peak_mib(args.device)
    while connection.recv():
        wait()
        start = time.perf_counter()
        enhanced, outputs = model(noisy, return_outputs=True)
        loss(enhanced, clean, None, {"noisy": noisy, **outputs}).backward()
        optimizer.step()
        optimizer.zero_grad()
        wait()
        seconds = time.perf_counter() - start
        connection.send((seconds, peak_mib(args.device) - before, weights))


def peak_mib(device: str) -> float:
    """Return the most memory this process has held, on the device if any, in MiB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--sample-rate", type=int, default=16000, help="in Hz")
    parser.add_argument("--channels", type=int, default=16, help="of convolutions")
    parser.add_argument("--hidden", type=int, default=64, help="units of the GRUs")
    parser.add_argument("--batch", type=int, default=4, help="clips of a batch")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a clip")
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--losses",
        nargs="+",
        choices=LOSSES,
        default=[name for name in LOSSES if name != "CDPAM"],  # minutes for the default
        help="compared with L_df",
    )
    args = parser.parse_args()
    losses = [PLAIN, *(name for name in args.losses if name != PLAIN)]
    print(f"torch {torch.__version__}, {json.dumps(vars(args))}, medians")
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name in losses:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, name, args), daemon=True)
        process.start()
        workers[name] = ours
    rounds = []
    for _ in range(args.repeats + 1):  # the first is not counted, but for its memory
        answers = {}
        for name, connection in workers.items():
            connection.send(True)
            answers[name] = connection.recv()
        rounds.append(answers)
    for connection in workers.values():
        connection.send(False)  # enough
    print("\n| loss | weights | ms | over L_df | peak MiB | over L_df |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in losses:
        times = [answers[name][0] for answers in rounds[1:]]
        ratios = [answers[name][0] / answers[PLAIN][0] for answers in rounds[1:]]
        _, peak, weights = rounds[-1][name]
        print(
            f"| {name} | {weights} | {1000 * statistics.median(times):.0f} "
            f"| {statistics.median(ratios):.2f} | {peak:.0f} "
            f"| {peak / rounds[-1][PLAIN][1]:.2f} |"
        )


if __name__ == "__main__":
    main()
