#!/usr/bin/env python3
"""Recipe for training a speech enhancer with Model as Loss on VoiceBank-DEMAND.

To run this recipe, do the following:
> python train.py hparams/train.yaml --data_folder /path/to/VoiceBank

README.md has the flags of the paper's other systems.

A run that was stopped goes on where it was when the same command is given again.
"""

import os
import sys

import speechbrain as sb
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.distributed import if_main_process, run_on_main

from speechbrain_mal import MALBrain
from speechbrain_mal.data import paired_dataset, prepare_voicebank
from speechbrain_mal.files import lock_folder
from speechbrain_mal.lengths import lengths_or_none
from speechbrain_mal.settings import with_loss_file
from speechbrain_mal.system import write_system


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

    # Data preparation: checks every file, writes one manifest a split
    run_on_main(
        prepare_voicebank,
        kwargs={
            "data_folder": hparams["data_folder"],
            "save_folder": hparams["output_folder"],
            "sample_rate": hparams["sample_rate"],
            "train_set": hparams["train_set"],
            "valid_speakers": hparams["valid_speakers"],
            "test_set": hparams["test_set"],
            "skip_prep": hparams["skip_prep"],
        },
    )
    datasets = {
        split: paired_dataset(
            os.path.join(hparams["output_folder"], f"{split}.json"),
            hparams["data_folder"],
            crop=hparams["train_crop"] if split == "train" else None,
        )
        for split in ("train", "valid", "test")
    }

    # Create experiment directory
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    run_on_main(write_system, args=[hparams["output_folder"]])  # the model as data
    if hparams["enhanced_folder"]:
        run_on_main(
            os.makedirs, kwargs={"name": hparams["enhanced_folder"], "exist_ok": True}
        )
    if hparams["use_tensorboard"]:
        from speechbrain.utils.train_logger import TensorboardLogger

        hparams["tensorboard_train_logger"] = TensorboardLogger(
            os.path.join(hparams["output_folder"], "logs")
        )

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
        valid_loader_kwargs=hparams["test_dataloader_options"],
    )

    # Load best checkpoint for evaluation
    mal_brain.evaluate(
        test_set=datasets["test"],
        test_loader_kwargs=hparams["test_dataloader_options"],
    )
