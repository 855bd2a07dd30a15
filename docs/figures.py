"""Draw the figures of the README and of the docs, into docs/figures.

Run `python docs/figures.py`: a minute; it needs the extra `eval`.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from speechbrain_mal import DeepFilterNet2, MALEnhancement, ModelAsLoss
from speechbrain_mal.analysis.plots import decibels, figure
from speechbrain_mal.audio import read_audio
from speechbrain_mal.inference import shipped_model
from speechbrain_mal.models import InputFeatures

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "figures"
SAMPLES = ROOT / "samples" / "voicebank"
CLIP = "p232_005.flac"  # of the test set: traffic noise at 7.5 dB


def save(drawing, path: Path, dpi: int) -> None:
    """Save a picture with few colours: small files, since they are committed."""
    drawing.savefig(path, dpi=dpi)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def speech(kind: str) -> torch.Tensor:
    """Return a test clip of the samples, `[1, samples]` at 16 kHz."""
    waveform, _ = read_audio(SAMPLES / f"{kind}_testset_wav_16k" / CLIP)
    return torch.as_tensor(waveform).reshape(1, -1).float()


def at_snr(clean: torch.Tensor, noise: torch.Tensor, snr_db: float) -> torch.Tensor:
    """Return speech in noise, at an SNR over the whole clip."""
    gain = clean.norm() / noise.norm() * 10 ** (-snr_db / 20)
    return clean + gain * noise


def draw_enhancement(clips: dict[str, torch.Tensor], path: Path) -> None:
    """Draw spectrograms side by side, on one scale."""
    drawing, axes = figure(len(clips), 1, 3.0, 2.1)
    levels = {name: decibels(clip[0].numpy(), 16000) for name, clip in clips.items()}
    top = max(level.max() for level in levels.values())
    for (name, level), axis in zip(levels.items(), axes[0], strict=True):
        seconds = clips[name].shape[1] / 16000
        picture = axis.imshow(
            level,
            origin="lower",
            aspect="auto",
            cmap="magma",
            extent=(0, seconds, 0, 8),
            vmin=top - 70,
            vmax=top,
        )
        axis.set_title(name, size=10)
        axis.set_xlabel("time (s)", size=8)
        axis.tick_params(labelsize=7)
    axes[0, 0].set_ylabel("frequency (kHz)", size=8)
    bar = drawing.colorbar(picture, ax=axes, pad=0.01)
    bar.set_label("level (dB)", size=8)
    bar.ax.tick_params(labelsize=7)
    save(drawing, path, 100)


@torch.no_grad()
def draw_loss_over_snr(clean, noise, encoders: dict, path: Path) -> None:
    """Draw how the loss falls while the SNR rises, for several encoders."""
    drawing, axes = figure(1, 1, 5.0, 3.0)
    snrs = np.arange(-5, 41, 3)
    for name, encoder in encoders.items():
        loss = ModelAsLoss(encoder, layers=[-1])
        at_zero = loss(at_snr(clean, noise, 0), clean)
        values = [loss(at_snr(clean, noise, snr), clean) / at_zero for snr in snrs]
        axes[0, 0].plot(snrs, values, label=name)
    axes[0, 0].set_xlabel("SNR of the compared speech (dB)")
    axes[0, 0].set_ylabel("distance, relative to 0 dB")
    axes[0, 0].set_ylim(0)
    axes[0, 0].legend()
    save(drawing, path, 80)


@torch.no_grad()
def draw_loss_over_time(clips, encoder, path: Path) -> None:
    """Draw which frames the loss comes from, below the clean speech's spectrogram."""
    clean = clips["clean"]
    drawing, axes = figure(1, 2, 6.0, 1.7)
    seconds = clean.shape[1] / 16000
    level = decibels(clean[0].numpy(), 16000)
    axes[0, 0].imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, seconds, 0, 8),
        vmin=level.max() - 70,
        vmax=level.max(),
    )
    axes[0, 0].set_ylabel("clean (kHz)", size=8)
    target = encoder(clean).stages[-1]
    for name in ("noisy", "enhanced"):
        distance = (encoder(clips[name]).stages[-1] - target).abs().mean(-1)[0]
        times = np.arange(len(distance)) * seconds / len(distance)
        axes[1, 0].plot(times, distance, label=name)
    axes[1, 0].set(xlim=(0, seconds), ylim=(0, None), xlabel="time (s)")
    axes[1, 0].set_ylabel("distance", size=8)
    axes[1, 0].legend(fontsize=7)
    save(drawing, path, 80)


def draw_lookahead(path: Path) -> None:
    """Draw what DeepFilterNet2 hears for one frame of its output."""
    drawing, axes = figure(1, 1, 6.5, 1.9)
    axis = axes[0, 0]
    rows = {"input frames": range(-3, 5), "features": range(-2, 3), "output": [0]}
    for height, frames in zip((2, 1, 0), rows.values(), strict=True):
        for frame in frames:
            colour = "tab:orange" if frame > 0 else "tab:blue"
            axis.barh(
                height, 18, left=10 * frame + 1, height=0.5, color=colour, alpha=0.45
            )
    axis.axvline(0, color="black", linewidth=0.8)
    axis.axvline(60, color="black", linewidth=0.8, linestyle="--")
    axis.annotate("", (60, -0.45), (0, -0.45), arrowprops={"arrowstyle": "<->"})
    axis.text(30, -0.75, "60 ms", ha="center", va="center", size=8)
    axis.set_yticks((2, 1, 0), list(rows))
    axis.set(xlabel="time (ms)", ylim=(-1, 2.6), xlim=(-35, 70))
    save(drawing, path, 80)


def draw_boxes(boxes: dict, arrows: list, size: tuple, path: Path) -> None:
    """Draw a diagram: boxes `{name: (x, y)}` in inches, and arrows between them.

    A box with a name in brackets is a signal and has no frame; an arrow with a third
    member is dashed, and bears it.
    """
    drawing, axes = figure(1, 1, *size)
    axis = axes[0, 0]
    axis.set(xlim=(0, size[0]), ylim=(0, size[1]))
    axis.axis("off")
    texts = {}
    for name, (x, y) in boxes.items():
        signal = name.startswith("(")
        texts[name] = axis.text(
            *(x, y, name.strip("() ")),
            ha="center",
            va="center",
            size=9,
            bbox={
                "boxstyle": "round,pad=0.4",
                "facecolor": "white" if signal else "lavender",
                "edgecolor": "white" if signal else "slateblue",
            },
        )
    for start, end, *label in arrows:
        axis.annotate(
            "",
            boxes[end],
            boxes[start],
            arrowprops={
                "arrowstyle": "->",
                "linestyle": "--" if label else "-",
                "patchA": texts[start].get_bbox_patch(),
                "patchB": texts[end].get_bbox_patch(),
            },
        )
        if label:
            middle = np.add(boxes[start], boxes[end]) / 2
            axis.text(*middle, label[0], size=8, backgroundcolor="white", ha="center")
    save(drawing, path, 100)


def draw_diagrams() -> None:
    """Draw how the loss is computed, and what the enhancer consists of."""
    boxes = {
        "(noisy)": (0.4, 2.2),
        "encoder": (1.7, 2.2),
        "decoder": (3.1, 2.2),
        "(enhanced)": (4.4, 2.2),
        "frozen copy": (4.4, 1.3),
        "(clean)": (1.7, 0.4),
        "frozen copy ": (3.1, 0.4),
        "distance": (4.4, 0.4),
        "(L_mal)": (5.6, 0.4),
    }
    arrows = [
        ("(noisy)", "encoder"),
        ("encoder", "decoder"),
        ("decoder", "(enhanced)"),
        ("(enhanced)", "frozen copy"),
        ("frozen copy", "distance"),
        ("(clean)", "frozen copy "),
        ("frozen copy ", "distance"),
        ("distance", "(L_mal)"),
        ("encoder", "frozen copy ", "copied"),
    ]
    draw_boxes(boxes, arrows, (6.0, 2.6), OUTPUT / "training.png")
    boxes = {
        "(noisy)": (0.4, 0.6),
        "STFT": (1.3, 0.6),
        "features": (1.3, 1.6),
        "encoder": (2.4, 1.6),
        "ERB decoder": (3.7, 1.6),
        "DF decoder": (5.1, 2.2),
        "gains": (3.7, 0.6),
        "filters": (5.1, 0.6),
        "inverse STFT": (6.3, 0.6),
        "(enhanced)": (7.6, 0.6),
    }
    arrows = [
        ("(noisy)", "STFT"),
        ("STFT", "features"),
        ("features", "encoder"),
        ("encoder", "ERB decoder"),
        ("encoder", "DF decoder"),
        ("STFT", "gains"),
        ("ERB decoder", "gains"),
        ("gains", "filters"),
        ("DF decoder", "filters"),
        ("filters", "inverse STFT"),
        ("inverse STFT", "(enhanced)"),
    ]
    draw_boxes(boxes, arrows, (8.1, 2.6), OUTPUT / "enhancer.png")


def main() -> None:
    """Draw all figures."""
    torch.manual_seed(0)
    OUTPUT.mkdir(exist_ok=True)
    enhancer = MALEnhancement.from_hparams(shipped_model())
    clips = {kind: speech(kind) for kind in ("noisy", "clean")}
    enhanced = enhancer.enhance_batch(clips["noisy"])
    clips = {"noisy": clips["noisy"], "enhanced": enhanced, "clean": clips["clean"]}
    draw_enhancement(clips, OUTPUT / "enhancement.png")

    # As in training, where the model is not level-invariant.
    encoder = copy.deepcopy(enhancer.mods.enhancer.encoder)
    encoder.front_end.level_invariant = False
    untrained = DeepFilterNet2(16000, channels=32, df_hidden_size=128).eval()
    encoders = {
        "trained encoder": encoder,
        "encoder with random weights": untrained.encoder,
        "filter bank alone": InputFeatures(encoder.front_end),
    }
    noise = clips["noisy"] - clips["clean"]
    draw_loss_over_snr(clips["clean"], noise, encoders, OUTPUT / "loss_over_snr.png")
    draw_loss_over_time(clips, encoder, OUTPUT / "loss_over_time.png")
    draw_lookahead(OUTPUT / "lookahead.png")
    draw_diagrams()


if __name__ == "__main__":
    main()
