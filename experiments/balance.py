#!/usr/bin/env python3
"""How to scale the added term: a scale set once, anew, or a distance that is relative.

> python experiments/balance.py minibank --baseline experiments/baselines/1234 \
      --output balance
> python experiments/balance.py minibank --output balance     # from scratch

Trains the small model of the VoiceBank recipe with mal-dynamic and each way of scaling,
from a trained baseline and from new weights, on real speech, and prints a Markdown
table: how large the scaled term became beside L_df, and what the validation says. Runs
that are there already are not trained again.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from speechbrain.dataio.dataloader import make_dataloader
from torch import Tensor, nn
from tqdm import tqdm

from speechbrain_mal import AuxiliaryLoss, DeepFilterNet2, DeepFilterNetLoss
from speechbrain_mal.checkpoints import load_enhancer, run_checkpoints
from speechbrain_mal.data import RandomCrop, paired_dataset, prepare_voicebank
from speechbrain_mal.files import write_text
from speechbrain_mal.losses import ModelAsLoss
from speechbrain_mal.metrics import clips_from_batch, evaluate
from speechbrain_mal.training_state import seed_epoch

RATE = 16000
METRICS = ["pesq", "estoi", "si_sdr"]


class RelativeToDeviation(ModelAsLoss):
    """The distance of one layer relative to its clean features' deviation over time."""

    def observe(self, targets: list[Tensor], frames: list[Tensor | None]) -> None:
        """Keep the mean absolute deviation of the clean features."""
        super().observe(targets, frames)
        (features,) = targets
        self.deviation = (features - features.mean(1, keepdim=True)).abs().mean()

    def forward(self, *waveforms: Tensor) -> Tensor:
        """Return the loss of a training batch, a scalar."""
        return super().forward(*waveforms) / self.deviation


def terms(encoder: nn.Module) -> dict[str, AuxiliaryLoss]:
    """Return every way of scaling, by name."""
    once = {"balance": "magnitude_once"}
    size = ModelAsLoss(encoder, "epoch", normalize=True)
    deviation = RelativeToDeviation(encoder, "epoch")
    return {
        "scale set once": AuxiliaryLoss(ModelAsLoss(encoder, "epoch"), **once),
        "scale set at each refresh": AuxiliaryLoss(ModelAsLoss(encoder, "epoch")),
        "relative to the features' size": AuxiliaryLoss(size, **once),
        "relative to their deviation": AuxiliaryLoss(deviation, **once),
    }


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_folder", help="in VoiceBank-DEMAND's layout, at 16 kHz")
    parser.add_argument("--baseline", help="a run's output folder; new weights without")
    parser.add_argument("--output", type=Path, default=Path("results/balance"))
    parser.add_argument("--only", nargs="+", help="of the ways, by name")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a crop")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--max_batches", type=int, default=10**9, help="an epoch")
    parser.add_argument("--max_valid", type=int, default=10**9, help="clips")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    return parser.parse_args()


def train(args: argparse.Namespace, name: str | None) -> list[dict[str, float]]:
    """Train with one way of scaling, None for L_df alone; return a row an epoch."""
    torch.manual_seed(args.seed)
    model = DeepFilterNet2(RATE, channels=16, embedding_size=64, df_hidden_size=64)
    model.to(args.device)
    if args.baseline:
        found = run_checkpoints(args.baseline).find_checkpoint(min_key="df")
        load_enhancer(model, found)
    l_df = DeepFilterNetLoss(model.encoder.front_end).to(args.device)
    term = terms(model.encoder)[name].to(args.device) if name else None
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, fused=True)
    folder, crop = args.output / "manifests", RandomCrop(args.seconds, RATE, args.seed)
    data = paired_dataset(folder / "train.json", args.data_folder, crop)
    loader = make_dataloader(
        data, batch_size=args.batch_size, shuffle=True, drop_last=True, num_workers=1
    )
    rows, step = [], 0
    for epoch in range(1, args.epochs + 1):
        seed_epoch(args.seed, epoch)
        crop.set_epoch(epoch)
        model.train()
        ratios, values = [], []
        for batch, _ in zip(tqdm(loader), range(args.max_batches), strict=False):
            batch = batch.to(args.device)
            noisy, clean = batch.noisy.data, batch.clean.data
            enhanced, outputs = model(noisy, return_outputs=True)
            main = l_df(enhanced, clean, None, noisy, **outputs)
            loss = main
            if term:
                loss = term(main, enhanced, clean, epoch=epoch, step=step)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            values.append(main.item())
            ratios.append((loss.item() - main.item()) / main.item())
        rows.append(
            {
                "epoch": epoch,
                "train L_df": sum(values) / len(values),
                "largest term / L_df": max(ratios),
                "mean term / L_df": sum(ratios) / len(ratios),
                **validate(args, model, METRICS if epoch == args.epochs else []),
            }
        )
    return rows


@torch.no_grad()
def validate(
    args: argparse.Namespace, model: nn.Module, metrics: Sequence[str]
) -> dict[str, float]:
    """Return the validation speakers' L_df, and their scores."""
    model.eval()
    folder = args.output / "manifests"
    data = paired_dataset(folder / "valid.json", args.data_folder)
    l_df = DeepFilterNetLoss(model.encoder.front_end).to(args.device)
    clips, losses = [], []
    for batch, _ in zip(
        make_dataloader(data, batch_size=1), range(args.max_valid), strict=False
    ):
        batch = batch.to(args.device)
        clean, enhanced = batch.clean.data, model(batch.noisy.data)
        losses.append(l_df(enhanced, clean).item())
        pair = (x.float().cpu().numpy() for x in (enhanced, clean))
        clips += clips_from_batch(batch.id, *pair, [1.0], RATE)
    scores = evaluate(clips, metrics).means()
    return {"valid L_df": sum(losses) / len(losses), **scores}


def table(rows: dict[str, Sequence[dict[str, float]]]) -> str:
    """Return the runs as Markdown: the last scores, the largest ratio of all."""
    columns = ["valid L_df", *METRICS]
    lines = [
        "| " + " | ".join(["", "largest term / L_df", "mean, last", *columns]) + " |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for name, epochs in rows.items():
        last = epochs[-1]
        largest = max(epoch["largest term / L_df"] for epoch in epochs)
        cells = [name, f"{largest:.2f}", f"{last['mean term / L_df']:.2f}"]
        cells += [f"{last[column]:.3f}" for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, and print the table."""
    args = arguments()
    prepare_voicebank(args.data_folder, args.output / "manifests", RATE)
    start = "baseline" if args.baseline else "scratch"
    rows = {}
    for name in [None, *terms(DeepFilterNet2(RATE).encoder)]:
        label = name or "L_df alone"
        if args.only and label not in args.only:
            continue
        file = args.output / start / f"{label} {args.seed}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps(train(args, name), indent=1) + "\n")
        rows[label] = json.loads(file.read_text(encoding="utf-8"))
    print(table(rows))


if __name__ == "__main__":
    main()
