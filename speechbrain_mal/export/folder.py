"""Write what a hub repository needs, out of the output folder of a finished run."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml
from torch import nn

from speechbrain_mal import __version__
from speechbrain_mal.audio import AudioFile
from speechbrain_mal.export.model_card import Scores, model_card
from speechbrain_mal.export.runs import Run, read_run
from speechbrain_mal.files import write_text
from speechbrain_mal.hub.folder import CONFIG, HYPERPARAMS, WEIGHTS, config_of
from speechbrain_mal.hub.tensors import save_weights
from speechbrain_mal.inference.enhancement import MALEnhancement
from speechbrain_mal.metrics.registry import HEADINGS
from speechbrain_mal.metrics.table import read_scores

EXAMPLE_SECONDS = 10.0
# In another order of summation, relative to the largest sample; a wrong weight is
# orders of magnitude above it.
_TOLERANCE = 1e-4

_HYPERPARAMS = """\
# {name}
# System {system} of speechbrain-mal {version}, exported {date}.
# SpeechBrain's WaveformEnhancement executes this file; MALEnhancement.from_hparams
# never reads it.
sample_rate: {rate}

{enhancer}
modules:
    enhancer: !ref <enhancer>
    enhance_model: !new:speechbrain_mal.hub.weights.EnhanceModel
        enhancer: !ref <enhancer>

audio_normalizer: !new:speechbrain.dataio.preprocess.AudioNormalizer
    sample_rate: !ref <sample_rate>

pretrainer: !new:speechbrain_mal.hub.weights.SafetensorsPretrainer
    loadables:
        enhancer: !ref <enhancer>
"""


def export(
    run_folder: str | os.PathLike,
    output: str | os.PathLike,
    name: str | None = None,
    scores: Mapping[str, str | os.PathLike] | None = None,
    training_data: str = "",
    licence: str | None = None,
    example: str | os.PathLike | None = None,
    trust: bool = False,
) -> Path:
    """Write an enhancer as a folder that `MALEnhancement.from_hparams` loads.

    It has `config.json` and `enhancer.safetensors`, which are what counts,
    `hyperparams.yaml` for SpeechBrain's interfaces, a model card `README.md` and an
    example clip. It appears when it is whole, and was found to do what the run's model
    does. FileExistsError when it is there; FileNotFoundError or ValueError when the run
    is none or has no checkpoint, can't be built of data and isn't trusted, has absolute
    paths in what builds the model, or a file can't be read.

    Arguments
    ---------
    run_folder, output : path
        Output folder of a recipe's run, and the one to write.
    name : str, optional
        Of the model, or its hub id `user/name`; the output's name without it.
    scores : mapping of str to path, optional
        By the name of a test set, the folder that `speechbrain-mal evaluate` wrote,
        with `scores.json`. Without it the scores are those of the run's own test.
    training_data : str
        What the model was trained on, and the licences.
    licence : str, optional
        Of the weights, as the hub names it, such as "apache-2.0".
    example : path, optional
        A noisy clip, of which 10 s at most are put beside the card.
    trust : bool
        Execute the run's `hyperparams.yaml`, as `load_run` does.
    """
    output = Path(output)
    if output.exists():
        raise FileExistsError(f"{output} exists: remove it, or name another folder.")
    run = read_run(run_folder, trust=trust)
    source = name or output.name
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        write_text(partial / HYPERPARAMS, _hyperparams(run, source))
        enhancer, rate = run.load(), run.settings["sample_rate"]
        save_weights(enhancer, partial / WEIGHTS)
        epoch = run.checkpoint.meta.get("epoch")
        config = config_of(run.model, run.settings, epoch)
        write_text(partial / CONFIG, json.dumps(config, indent=2) + "\n")
        loaded, registered = _loaded(partial, run)
        clip = _example(example, rate) if example else None
        _check_same(loaded, enhancer, clip, rate)
        if clip is not None:
            enhanced = loaded.enhance_batch(clip[None])[0].cpu()
            for kind, samples in (("noisy", clip), ("enhanced", enhanced)):
                soundfile.write(partial / f"example_{kind}.flac", samples.numpy(), rate)
        card = model_card(
            source,
            run.settings["system"],
            rate,
            _facts(loaded, enhancer),
            _scores_of(scores) if scores else _own_scores(run),
            training_data,
            licence,
            example=clip is not None,
            registered=registered,
        )
        write_text(partial / "README.md", card)
        os.replace(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output


def _hyperparams(run: Run, name: str) -> str:
    enhancer = run.enhancer_yaml()
    for token in yaml.scan(enhancer):
        value = getattr(token, "value", None)
        if isinstance(value, str) and os.path.isabs(value):
            raise ValueError(
                f"{run.folder / 'hyperparams.yaml'}: the enhancer takes the path "
                f"{value}, which others don't have."
            )
    return _HYPERPARAMS.format(
        name=name,
        system=run.settings["system"],
        version=__version__,
        date=date.today().isoformat(),
        rate=run.settings["sample_rate"],
        enhancer=enhancer,
    )


def _loaded(folder: Path, run: Run) -> tuple[MALEnhancement, bool]:
    """Return the exported enhancer, and whether our own interface loads it."""
    try:
        return MALEnhancement.from_hparams(folder), True
    except ValueError:
        if not run.trust:
            raise
    from speechbrain.inference.enhancement import WaveformEnhancement

    stock = WaveformEnhancement.from_hparams(str(folder))
    rate = {"sample_rate": run.settings["sample_rate"]}
    return MALEnhancement({"enhancer": stock.mods.enhancer}, rate), False


def _example(path: str | os.PathLike, rate: int) -> torch.Tensor:
    """Return the first seconds of a noisy clip, `[samples]`."""
    with AudioFile(path) as audio:
        if (audio.sample_rate, audio.channels) != (rate, 1):
            raise ValueError(f"{path}: the example has to be mono at {rate} Hz.")
        return torch.from_numpy(next(audio.blocks(EXAMPLE_SECONDS))[:, 0].copy())


@torch.no_grad()
def _check_same(
    loaded: MALEnhancement, enhancer: nn.Module, clip: torch.Tensor | None, rate: int
) -> None:
    """Make sure that the folder does what the run does."""
    if clip is None:
        noise = np.random.default_rng(0).standard_normal(rate)
        clip = torch.from_numpy(0.1 * noise).float()
    expected = enhancer(clip[None])
    error = (loaded.enhance_batch(clip[None]).cpu() - expected).abs().max()
    if not error <= _TOLERANCE * max(float(expected.abs().max()), 1e-3):
        raise ValueError(
            f"The exported model differs from the run's by {error:.2g}: its YAML does "
            "not build all of it."
        )


def _scores_of(folders: Mapping[str, str | os.PathLike]) -> dict[str, Scores]:
    """Return what `evaluate` wrote, by the name of the test set."""
    scores = {}
    for name, folder in folders.items():
        path = Path(folder) / "scores.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            scores[name] = record["means"], record["command"]
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{path}: not of a folder that `speechbrain-mal evaluate` wrote."
            ) from error
    return scores


def _own_scores(run: Run) -> dict[str, Scores]:
    """Return the scores of the run's own test, by the name of the test set."""
    command = "python train.py hyperparams.yaml  # both as the run's folder has them"
    files = {path.stem: path for path in sorted(run.folder.glob("scores_*.csv"))}
    folders = sorted(run.folder.glob("scores_*/scores.csv"))
    files |= {path.parent.name: path for path in folders}
    scores = {}
    for name, path in files.items():
        # They become words of the card, whoever wrote the folder.
        if not (path.is_file() and re.fullmatch(r"[\w.+-]+", name)):
            continue
        rows = list(read_scores(path).values())
        means = {}
        for column in filter(HEADINGS.get, rows[0] if rows else ()):
            mean = float(np.nanmean([row[column] for row in rows]))
            if not math.isnan(mean):
                means[column] = mean
        scores[name.removeprefix("scores_")] = means, command
    return scores


def _facts(loaded: MALEnhancement, enhancer: nn.Module) -> dict[str, str]:
    parameters = sum(weight.numel() for weight in enhancer.parameters())
    facts = {
        "model": type(enhancer).__name__,
        "parameters": f"{parameters:,}".replace(",", " "),
        "sampling rate": f"{loaded.sample_rate} Hz",
    }
    if loaded.can_stream:
        facts["latency"] = f"{loaded.stream().latency_ms:g} ms"
    return {**facts, "exported with": f"speechbrain-mal {__version__}"}
