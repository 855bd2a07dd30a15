"""One process of VoiceBank systems trained at toy size by several, for torchrun.

usage: torchrun --nproc_per_node 2 ddp_run.py OUTPUT SYSTEM [SYSTEM ...]

Writes OUTPUT/SYSTEM/rank_N.pt: what this process held after every epoch.
"""

import sys
from pathlib import Path

import speechbrain as sb
import torch
from recipe_run import fit, make_brain

from speechbrain_mal import MALBrain


class NotedBrain(MALBrain):
    """Note the weights and the log's figures after every epoch."""

    def on_fit_start(self):
        """Start an empty notebook."""
        super().on_fit_start()
        self.notes = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Note what this process holds."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == sb.Stage.VALID:
            encoders = {
                name: {k: v.clone() for k, v in term.encoder.state_dict().items()}
                for name, term in self.loss.added.items()
            }
            weights = self.enhancer.state_dict().items()
            self.notes.append(
                {
                    "enhancer": {k: v.clone() for k, v in weights},
                    "encoders": encoders,
                    "scales": dict(self.loss.scales),
                    "train": self.train_stats,
                }
            )


def train(output, system, run_opts):
    """Train both phases, and write what this process noted."""
    brain = make_brain(
        output,
        system,
        NotedBrain,
        run_opts,
        number_of_epochs=1,
        phase_two_epochs=2,
        baseline_folder=None,
        batch_size=4,
    )
    fit(brain)
    rank = torch.distributed.get_rank()
    torch.save(brain.notes, Path(output) / f"rank_{rank}.pt")


if __name__ == "__main__":
    output, *systems = sys.argv[1:]
    torch.set_num_threads(1)
    run_opts = {"device": "cpu", "distributed_backend": "gloo"}
    sb.utils.distributed.ddp_init_group(run_opts)
    for system in systems:
        train(Path(output) / system, system, run_opts)
    torch.distributed.destroy_process_group()
