"""Run systems at toy size; as a script, to be killed, or with others by torchrun.

usage: recipe_run.py OUTPUT '{"SYSTEM": {"key": value, ...}, ...}'

SYSTEM is one of experiments/systems.yaml, for recipes/VoiceBank, or DNS/NAME for
recipes/DNS, whose data_folder is one that `dns_tree.make_tree` wrote; or the path of a
YAML that `with_conv_tasnet` wrote. Values are overrides of its YAML. What this process
held after every epoch, and which clips it saw, is written to OUTPUT/SYSTEM/rank_N.pt.

With the environment variable KILL_AT=N the process, of several the second, kills itself
with SIGKILL after N training batches.
"""

import copy
import importlib.util
import json
import os
import re
import signal
import sys
from pathlib import Path

import speechbrain as sb
import torch
import yaml
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML
from speechbrain.utils.distributed import run_on_main

from speechbrain_mal.data import paired_dataset, prepare_dns, prepare_voicebank
from speechbrain_mal.settings import with_loss_file
from speechbrain_mal.system import write_system

ROOT = Path(__file__).parent.parent
EVERY = yaml.safe_load((ROOT / "experiments" / "systems.yaml").read_text())
# Without the sweep's, which differ from one of these in a number.
SWEEP = ("continue_", "lr_", "weight_", "equal_", "layer_before", "from_last")
SYSTEMS = {name: flags for name, flags in EVERY.items() if not name.startswith(SWEEP)}
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
BOTH_PHASES = {"number_of_epochs": 1, "phase_two_epochs": 1, "baseline_folder": None}
TOY_DNS = {
    **{key: value for key, value in TOY.items() if key != "data_folder"},
    "sample_rate": 16000,
    "clean_subsets": ["read_speech"],
    "valid_share": 0.2,
    "train_mixing": {"noises": 1},
    "batch_growth": None,
    "train_examples": 48,
    "valid_examples": 4,
}


def recipe(name):
    """Return a recipe's train.py as a module."""
    path = ROOT / "recipes" / name / "train.py"
    spec = importlib.util.spec_from_file_location(f"{name}_train", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EnhanceBrain = recipe("VoiceBank").EnhanceBrain
make_mixtures = recipe("DNS").make_dataset


def short(batches, **further):
    """Return options of a Brain that takes so many batches an epoch."""
    debug = {"debug": True, "debug_persistently": True, "debug_epochs": 4}
    return {**debug, "debug_batches": batches, **further}


def flags(system):
    """Return a system's overrides of train.yaml, but for the baseline's folder."""
    chosen = {"system": system, **SYSTEMS[system]}
    if system != "baseline":
        chosen["number_of_epochs"] = 0
    if "loss_file" in chosen:
        chosen["loss_file"] = str(ROOT / "recipes/DNS" / chosen["loss_file"])
    return chosen


def make_brain(
    output, system, brain_class=EnhanceBrain, run_opts=None, clips=None, **overrides
):
    """Return a Brain and its datasets, from the recipe's own YAML.

    `clips` is how many of the pairs there are to train on, with one to validate.
    """
    dns = "DNS" in Path(system).parts
    path = ROOT / "recipes" / ("DNS" if dns else "VoiceBank") / "hparams/train.yaml"
    toy = TOY_DNS if dns else TOY
    if Path(system).is_absolute():  # made by `with_conv_tasnet`
        path = Path(system)
        toy = {k: v for k, v in toy.items() if k not in ("channels", "hidden_size")}
    else:
        toy = {**toy, **flags(Path(system).name)}
    overrides = {**toy, "output_folder": str(output), **overrides}
    with open(path, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, with_loss_file(path, overrides))
    os.makedirs(output, exist_ok=True)
    prepare = prepare_dns if dns else prepare_voicebank
    kept = ("clean_subsets", "valid_share") if dns else ()
    options = {key: hparams[key] for key in (*kept, "sample_rate")}
    run_on_main(prepare, args=[hparams["data_folder"], output], kwargs=options)
    brain = brain_class(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts={"noprogressbar": True, **(run_opts or {})},
        checkpointer=hparams["checkpointer"],
    )
    brain.datasets = {}
    for split in ("train", "valid") if dns else ("train", "valid", "test"):
        if dns:
            brain.datasets[split] = make_mixtures(hparams, split)
            continue
        crop = hparams["train_crop"] if split == "train" else None
        manifest = os.path.join(output, f"{split}.json")
        dataset = paired_dataset(manifest, hparams["data_folder"], crop)
        if clips:
            dataset.data_ids = dataset.data_ids[: clips if split == "train" else 1]
        brain.datasets[split] = dataset
    return brain


def with_conv_tasnet(system, folder):
    """Write a system's YAML with the Conv-TasNet of docs/your_model.md, but smaller."""
    dns = "DNS" in Path(system).parts
    base = ROOT / "recipes" / ("DNS" if dns else "VoiceBank") / "hparams/train.yaml"
    page = (ROOT / "docs" / "your_model.md").read_text(encoding="utf-8")
    yaml, hparams = YAML(), {}
    with open(base, encoding="utf-8") as file:
        hparams = yaml.load(file)
    hparams.update(flags(Path(system).name))
    other = yaml.load(re.search(r"```yaml\n(.*?)```", page, re.S).group(1))
    for part, size in {"N": 32, "B": 16, "H": 16, "X": 2, "R": 1}.items():
        other["enhancer"]["masknet"][part] = size
    other["enhancer"]["encoder"]["out_channels"] = 32
    other["enhancer"]["decoder"]["in_channels"] = 32
    hparams.update(other)
    for name in ("channels", "hidden_size"):
        del hparams[name]
    path = Path(folder) / ("DNS" if dns else "") / f"{Path(system).name}.yaml"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(hparams, file)
    return path


def fit(brain):
    """Train as the recipe does."""
    brain.fit(
        brain.hparams.epoch_counter,
        brain.datasets["train"],
        brain.datasets["valid"],
        train_loader_kwargs=dict(brain.hparams.train_dataloader_options),
        valid_loader_kwargs={"batch_size": 1 if "test" in brain.datasets else 8},
    )
    return brain


def finished_run(folder, **overrides):
    """Train a baseline, test it and keep its clips, as the recipe does."""
    train_yaml = ROOT / "recipes" / "VoiceBank" / "hparams" / "train.yaml"
    saved = {**TOY, **flags("baseline"), "output_folder": str(folder), **overrides}
    sb.create_experiment_directory(str(folder), str(train_yaml), saved)
    write_system(folder)
    (folder / "enhanced_testset").mkdir()
    brain = fit(make_brain(folder, "baseline", **overrides))
    brain.evaluate(brain.datasets["test"])
    return folder


class ScriptBrain(EnhanceBrain):
    """Note the weights and the log's figures after every epoch, or be killed."""

    def on_fit_start(self):
        """Start an empty notebook."""
        super().on_fit_start()
        self.notes, self.ids, self.batches = [], [], 0

    def on_fit_batch_end(self, batch, *args):
        """Note whose clips these were."""
        super().on_fit_batch_end(batch, *args)
        self.ids += batch.id
        self.batches += 1
        killed = os.environ.get("KILL_AT") == str(self.batches)
        if killed and os.environ.get("RANK", "1") == "1":
            os.kill(os.getpid(), signal.SIGKILL)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Note what this process holds."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == sb.Stage.VALID:
            added = self.loss.added.items()
            held = {
                "enhancer": self.enhancer.state_dict(),
                "encoders": {k: x.loss.encoder.state_dict() for k, x in added},
                "scales": {k: x.scale for k, x in added},
                "train": self.train_stats,
            }
            self.notes.append({**copy.deepcopy(held), "ids": self.ids})
            self.ids = []


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank = os.environ.get("RANK")
    run_opts = {"ckpt_interval_steps": 2, "ckpt_interval_minutes": 0}
    if device := os.environ.get("TEST_DEVICE"):
        run_opts["device"] = device
        torch.use_deterministic_algorithms(True, warn_only=True)
    if rank:
        run_opts = {"device": "cpu", "distributed_backend": "gloo"}
        sb.utils.distributed.ddp_init_group(run_opts)
    for system, options in json.loads(sys.argv[2]).items():
        name = Path(system).stem if Path(system).is_absolute() else system
        output = Path(sys.argv[1]) / name
        brain = fit(make_brain(output, system, ScriptBrain, run_opts, **options))
        torch.save(brain.notes, output / f"rank_{rank or 0}.pt")
    if rank:
        # Not destroy_process_group(): in it, and on the way out of Python, torch's gloo
        # may abort ("terminate called without an active exception"), behind a barrier,
        # too. All is written by now.
        torch.distributed.barrier()
        os._exit(0)
