#!/usr/bin/env python3
"""Recipe for training a speech enhancer with Model as Loss on DNS-Challenge data.

To run this recipe, do the following:
> python train.py hparams/train.yaml --data_folder /path/to/DNS4

On 8 GPUs, and on two machines of 8:
> torchrun --standalone --nproc_per_node 8 train.py hparams/train.yaml ...
> torchrun --nnodes 2 --nproc_per_node 8 --rdzv_backend c10d \
      --rdzv_endpoint FIRST_HOST:29400 train.py hparams/train.yaml ...

A run that was stopped goes on where it was when the same command is given again.
"""

import dataclasses
import os
import sys

import speechbrain as sb
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.logger import get_logger

from speechbrain_mal import MALBrain, MALEnhancement
from speechbrain_mal.data import ShardedMixtures, mixed_dataset, prepare_dns
from speechbrain_mal.files import lock_folder
from speechbrain_mal.hub.folder import load_pretrained
from speechbrain_mal.lengths import lengths_or_none
from speechbrain_mal.metrics import clips_from_folders, evaluate
from speechbrain_mal.settings import with_loss_file
from speechbrain_mal.system import write_system

logger = get_logger(__name__)


class EnhanceBrain(MALBrain):
    """Train an enhancer; the phases, the MAL-encoder and the log are MALBrain's."""

    def compute_forward(self, batch, stage):
        """Enhance a batch: `enhanced` `[B, samples]`, and what loss terms take."""
        lengths = lengths_or_none(batch.noisy.lengths)  # None: nothing is padded
        batch = batch.to(self.device, non_blocking=True)
        noisy = batch.noisy.data
        if lengths is not None:
            lengths = batch.noisy.lengths
        enhanced, outputs = self.modules.enhancer(noisy, lengths, return_outputs=True)
        return {"enhanced": enhanced, "lengths": lengths, "noisy": noisy, **outputs}

    def compute_objectives(self, predictions, batch, stage):
        """Return the sum of the loss's terms, L_df alone or with Model as Loss."""
        enhanced, lengths = predictions["enhanced"], predictions["lengths"]
        clean = batch.clean.data
        terms = self.loss.terms(enhanced, clean, lengths, predictions)
        loss = self.loss.total(terms)
        self.note(batch, enhanced, {"loss": loss, **terms}, stage)
        return loss


def make_dataset(hparams, split):
    """Return the mixtures of a split, made as they are asked for."""
    mixing, examples = hparams["train_mixing"], hparams[f"{split}_examples"]
    if split == "train" and hparams["shards_folder"]:
        return ShardedMixtures(
            mixing,
            hparams["shards_folder"],
            examples,
            rank=int(os.environ.get("RANK", 0)),
            processes=int(os.environ.get("WORLD_SIZE", 1)),
            skipped=hparams["skipped_files"],
        )
    if split == "valid":  # the same mixtures in every epoch, whatever the seed
        mixing = dataclasses.replace(mixing, seed=0)
    kinds = ["clean", "noise"] + (["rir"] if hparams["rir_folder"] else [])
    manifests = {
        kind: os.path.join(hparams["output_folder"], f"{split}_{kind}.json")
        for kind in kinds
    }
    data_folder, skipped = hparams["data_folder"], hparams["skipped_files"]
    return mixed_dataset(mixing, manifests, data_folder, examples, skipped)


def test(enhancer, name, folders, hparams):
    """Enhance a folder of noisy clips, and score it."""
    output = os.path.join(hparams["output_folder"], f"enhanced_{name}")
    report = enhancer.enhance_folder(folders["noisy"], output)
    clean = folders.get("clean")
    metrics = hparams["test_metrics" if clean else "blind_test_metrics"]
    table = evaluate(
        clips_from_folders(output, clean),
        metrics,
        hparams["metric_options"],
        hparams["metric_jobs"],
        os.path.join(hparams["output_folder"], f"scores_{name}.jsonl"),
        progressbar=True,
    )
    table.write(os.path.join(hparams["output_folder"], f"scores_{name}"))
    failed = len(report.failures) + len(table.failures)
    hparams["train_logger"].log_stats(
        {"test set": name, "epoch loaded": hparams["epoch_counter"].current},
        test_stats={**table.means(), "clips not scored": failed},
    )


if __name__ == "__main__":
    # Load hyperparameters file with the overrides of loss_file and the command line
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    overrides = with_loss_file(hparams_file, overrides)
    with open(hparams_file, encoding="utf-8") as fin:
        hparams = load_hyperpyyaml(fin, overrides)

    # Initialize ddp (useful only for multi-GPU DDP training)
    sb.utils.distributed.ddp_init_group(run_opts)

    # Two trainings in one folder would overwrite each other
    lock = if_main_process() and lock_folder(hparams["output_folder"])  # noqa: F841

    # Data preparation: looks at every file, writes a manifest a split and kind
    run_on_main(
        prepare_dns,
        kwargs={
            "data_folder": hparams["data_folder"],
            "save_folder": hparams["output_folder"],
            "sample_rate": hparams["sample_rate"],
            "clean_folder": hparams["clean_folder"],
            "noise_folder": hparams["noise_folder"],
            "rir_folder": hparams["rir_folder"],
            "clean_subsets": hparams["clean_subsets"],
            "valid_share": hparams["valid_share"],
            "valid_folders": hparams["valid_folders"],
            "decode": hparams["decode"],
            "skip_prep": hparams["skip_prep"],
        },
    )
    datasets = {split: make_dataset(hparams, split) for split in ("train", "valid")}
    if hparams["shards_folder"]:  # they come in an order of their own
        hparams["train_dataloader_options"].update(
            shuffle=False, collate_fn=PaddedBatch
        )

    # Create experiment directory
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    run_on_main(write_system, args=[hparams["output_folder"]])  # the model as data
    if hparams["use_tensorboard"]:
        from speechbrain.utils.train_logger import TensorboardLogger

        hparams["tensorboard_train_logger"] = TensorboardLogger(
            os.path.join(hparams["output_folder"], "logs")
        )

    # Training starts from these weights unless there is a checkpoint already
    if hparams["pretrained"]:
        load_pretrained(hparams["enhancer"], hparams["pretrained"])

    mal_brain = EnhanceBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )

    # Load latest checkpoint to resume training, and train
    mal_brain.fit(
        epoch_counter=hparams["epoch_counter"],
        train_set=datasets["train"],
        valid_set=datasets["valid"],
        train_loader_kwargs=hparams["train_dataloader_options"],
        valid_loader_kwargs={"batch_size": hparams["batch_size"]},
    )

    if hparams["skipped_files"].met:
        logger.warning(hparams["skipped_files"].summary())

    # Load best checkpoint, and test it on every set
    mal_brain.on_evaluate_start()
    enhancer = MALEnhancement(
        {"enhancer": mal_brain.enhancer},
        {"sample_rate": hparams["sample_rate"]},
        {"device": mal_brain.device},
    )
    for name, folders in hparams["test_sets"].items():
        run_on_main(test, args=[enhancer, name, folders, hparams])
