#!/usr/bin/env python3
"""How large the gradients are that terms of one size send into the model's weights.

> python experiments/gradients.py minibank --output results/gradients

From the baseline of the VoiceBank recipe, on batches of real speech, without training:
each term is scaled by the first 16 batches, in every way of balancing, and its
gradient's norm is compared with that of L_df over further ones. Prints Markdown.
"""

import argparse
from pathlib import Path

import torch
from speechbrain.dataio.dataloader import make_dataloader
from torch import Tensor, nn

from speechbrain_mal import DeepFilterNet2, DeepFilterNetLoss
from speechbrain_mal.checkpoints import load_enhancer, run_checkpoints
from speechbrain_mal.data import RandomCrop, paired_dataset, prepare_voicebank
from speechbrain_mal.losses import AuxiliaryLoss, DeepFeatureLoss, ModelAsLoss
from speechbrain_mal.losses.auxiliary import GRADIENT_BATCHES
from speechbrain_mal.models import InputFeatures

RATE = 16000
BASELINE = Path(__file__).parent.parent / "recipes" / "VoiceBank" / "minibank_baseline"


def small_model() -> DeepFilterNet2:
    """Return the recipe's model."""
    return DeepFilterNet2(RATE, channels=16, embedding_size=64, df_hidden_size=64)


def terms(model: DeepFilterNet2) -> dict[str, nn.Module]:
    """Return the terms of the recipe's systems, by name."""
    encoder, bank = model.encoder, InputFeatures(model.encoder.front_end)
    every = {"layers": range(7), "normalize": True}
    return {
        "own encoder": ModelAsLoss(encoder),
        "own encoder, squared": ModelAsLoss(encoder, distance="mse"),
        "own encoder, all layers": ModelAsLoss(encoder, **every),
        "random encoder": DeepFeatureLoss(small_model().encoder),
        "filter bank": DeepFeatureLoss(bank, layers=[0, 1], normalize=True),
    }


def norm(loss: Tensor, inputs: list[Tensor]) -> float:
    """Return the norm of a loss's gradient."""
    options = {"retain_graph": True, "allow_unused": True}
    gradients = torch.autograd.grad(loss, inputs, **options)
    return torch.stack([x.norm() for x in gradients if x is not None]).norm().item()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_folder", help="in VoiceBank-DEMAND's layout, at 16 kHz")
    parser.add_argument("--baseline", default=BASELINE, help="a run's output folder")
    parser.add_argument("--output", type=Path, default=Path("results/gradients"))
    parser.add_argument("--batches", type=int, default=24, help="behind the first 16")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a crop")
    parser.add_argument("--seed", type=int, default=1234)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = small_model()
    checkpoint = run_checkpoints(args.baseline).find_checkpoint(min_key="df")
    load_enhancer(model, checkpoint)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    prepare_voicebank(args.data_folder, args.output, RATE)
    crop = RandomCrop(args.seconds, RATE, args.seed)
    data = paired_dataset(args.output / "train.json", args.data_folder, crop)
    loader = make_dataloader(
        data, batch_size=args.batch_size, shuffle=True, drop_last=True
    )
    l_df = DeepFilterNetLoss(model.encoder.front_end)
    losses = {"L_df": None, **terms(model)}
    balanced = {
        (name, balance): AuxiliaryLoss(loss, balance=balance)
        for name, loss in losses.items()
        if loss
        for balance in ("magnitude", "gradient")
    }
    norms: dict[str, list[list[float]]] = {name: [] for name in losses}
    total = GRADIENT_BATCHES + args.batches
    for number, batch in zip(range(total), loader, strict=False):
        noisy, clean = batch.noisy.data, batch.clean.data
        enhanced, outputs = model(noisy, return_outputs=True)
        main_loss = l_df(enhanced, clean, None, noisy, **outputs)
        for name, loss in losses.items():
            value = loss(enhanced, clean) if loss else main_loss
            sizes = [norm(value, [enhanced]), norm(value, weights)]
            norms[name].append(sizes)
            if loss and number < GRADIENT_BATCHES:
                for balance in ("magnitude", "gradient"):
                    balanced[name, balance].scaled(value, main_loss)
    table = {name: torch.tensor(rows) for name, rows in norms.items()}
    first, rest = (
        {name: rows[part].mean(0) for name, rows in table.items()}
        for part in (slice(GRADIENT_BATCHES), slice(GRADIENT_BATCHES, None))
    )
    print("| gradient's norm over L_df's | magnitude | waveform | gradient |")
    print("|---|---:|---:|---:|")
    for name in terms(model):
        ratio = rest[name][1] / rest["L_df"][1]
        scales = {b: balanced[name, b].scale for b in ("magnitude", "gradient")}
        waveform = first["L_df"][0] / first[name][0]
        cells = [scales["magnitude"], waveform, scales["gradient"]]
        print(f"| {name} | " + " | ".join(f"{x * ratio:.2f}" for x in cells) + " |")


if __name__ == "__main__":
    main()
