"""Run a system at toy size; as a script, to be killed in the middle.

usage: recipe_run.py OUTPUT SYSTEM KILL_AT [--key value ...]

SYSTEM is one of recipes/VoiceBank, or DNS/NAME of recipes/DNS, whose data_folder is one
that `dns_tree.make_tree` wrote.

KILL_AT is a number of training batches after which the process kills itself with
SIGKILL, `save:N` to do so while it writes its Nth checkpoint, or `never`.
"""

import importlib.util
import os
import re
import signal
import sys
from pathlib import Path

import torch
import yaml
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.distributed import run_on_main

from speechbrain_mal.data import (
    Sources,
    mixed_dataset,
    paired_dataset,
    prepare_dns,
    prepare_voicebank,
)

ROOT = Path(__file__).parent.parent


def recipe(name):
    """Return a recipe's train.py as a module."""
    path = ROOT / "recipes" / name / "train.py"
    spec = importlib.util.spec_from_file_location(f"{name}_train", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EnhanceBrain = recipe("VoiceBank").EnhanceBrain
SIZES = ("channels", "hidden_size")  # of DeepFilterNet2
TOY = {
    "data_folder": str(ROOT / "samples" / "voicebank"),
    "channels": 8,
    "hidden_size": 32,
    "batch_size": 8,
    "crop_seconds": 0.5,
    "num_workers": 0,
    "valid_metrics": ["si_sdr"],
    "test_metrics": ["si_sdr"],
    "ckpt_metric": "si_sdr",
    "metric_jobs": 1,
}

TOY_DNS = {
    **{key: value for key, value in TOY.items() if key != "data_folder"},
    "sample_rate": 16000,
    "clean_subsets": ["read_speech"],
    "valid_share": 0.2,
    "noises": 1,
    "batch_growth": None,
    "train_examples": 48,
    "valid_examples": 4,
}


def make_brain(output, system, brain_class=EnhanceBrain, run_opts=None, **overrides):
    """Return a Brain and its datasets, from the recipe's own YAML."""
    dns = str(system).startswith("DNS/") or "dns" in Path(system).parts
    toy = TOY_DNS if dns else TOY
    path = _path(system)
    if Path(system).is_absolute():  # made by `with_conv_tasnet`
        toy = {k: v for k, v in toy.items() if k not in SIZES}
    overrides = {**toy, "output_folder": str(output), **overrides}
    with open(path, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    os.makedirs(output, exist_ok=True)
    if dns:
        kept = ("clean_subsets", "valid_share")
        options = {key: hparams[key] for key in kept}
        run_on_main(
            prepare_dns, args=[hparams["data_folder"], output, 16000], kwargs=options
        )
    else:
        run_on_main(prepare_voicebank, args=[hparams["data_folder"], output])
    brain = brain_class(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts={"noprogressbar": True, **(run_opts or {})},
        checkpointer=hparams["checkpointer"],
    )
    if dns:
        brain.datasets = {s: _mixtures(hparams, output, s) for s in ("train", "valid")}
        return brain
    brain.datasets = {
        split: paired_dataset(
            os.path.join(output, f"{split}.json"),
            hparams["data_folder"],
            hparams["train_crop"] if split == "train" else None,
        )
        for split in ("train", "valid", "test")
    }
    return brain


def _path(system):
    if Path(system).is_absolute():
        return Path(system)
    recipe, _, name = system.rpartition("/")
    return ROOT / "recipes" / (recipe or "VoiceBank") / "hparams" / f"{name}.yaml"


def _mixtures(hparams, output, split):
    sources = Sources(
        {k: f"{output}/{split}_{k}.json" for k in ("clean", "noise", "rir")},
        hparams["data_folder"],
        hparams["sample_rate"],
    )
    return mixed_dataset(
        hparams[f"{split}_mixing"], sources, hparams[f"{split}_examples"]
    )


def with_conv_tasnet(system, folder):
    """Write the system's YAML with a small Conv-TasNet where DeepFilterNet2 was."""
    text = _path(system).read_text(encoding="utf-8")
    block = re.search(r"^model: .*\n(    .*\n)+", text, re.M).group()
    conv_tasnet = (
        "model: !include:../../../hparams/models/conv_tasnet.yaml\n"
        "    filters: 32\n    channels: 16\n    hidden_size: 16\n"
        "    blocks: 2\n    repeats: 1\n"
    )
    text = text.replace(block, conv_tasnet).replace("../../..", str(ROOT))
    path = folder / f"{Path(system).name}.yaml"
    path.write_text(re.sub(rf"^({'|'.join(SIZES)}): .*\n", "", text, flags=re.M))
    return path


def fit(brain):
    """Train as the recipe does."""
    brain.fit(
        brain.hparams.epoch_counter,
        brain.datasets["train"],
        brain.datasets["valid"],
        train_loader_kwargs=dict(brain.hparams.train_dataloader_options),
        valid_loader_kwargs=dict(
            getattr(brain.hparams, "valid_dataloader_options", None)
            or brain.hparams.test_dataloader_options
        ),
    )
    return brain


class KilledBrain(EnhanceBrain):
    """Kill the process after some batches, or while it saves."""

    kill_at = "never"
    batches = saves = 0

    def on_fit_batch_end(self, *args):
        """Count batches."""
        KilledBrain.batches += 1
        if self.kill_at == str(KilledBrain.batches):
            os.kill(os.getpid(), signal.SIGKILL)


def kill_while_saving(number):
    """Kill the process when the optimizer's file of a checkpoint is half written."""
    save, seen = torch.save, []

    def half(obj, path, *args, **kwargs):
        if Path(path).name == "optimizer.ckpt":
            seen.append(path)
            if len(seen) == number:
                Path(path).write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        return save(obj, path, *args, **kwargs)

    torch.save = half


if __name__ == "__main__":
    output, system, KilledBrain.kill_at, *rest = sys.argv[1:]
    if KilledBrain.kill_at.startswith("save:"):
        kill_while_saving(int(KilledBrain.kill_at[5:]))
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    options = {name.lstrip("-"): yaml.safe_load(v) for name, v in options.items()}
    torch.set_num_threads(1)
    often = {"ckpt_interval_steps": 2, "ckpt_interval_minutes": 0}
    if device := os.environ.get("TEST_DEVICE"):
        often["device"] = device
        torch.use_deterministic_algorithms(True, warn_only=True)
    fit(make_brain(output, system, KilledBrain, often, **options))
