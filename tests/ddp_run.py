"""One process of systems trained at toy size by several, for torchrun.

usage: torchrun --nproc_per_node 2 ddp_run.py OUTPUT OPTIONS SYSTEM [SYSTEM ...]

OPTIONS are overrides of the YAML, as JSON. Writes OUTPUT/SYSTEM/rank_N.pt: what this
process held after every epoch, and which clips it saw. With the environment variable
DIE_AT=N, process 1 kills itself after N batches.
"""

import json
import os
import signal
import sys
from pathlib import Path

import speechbrain as sb
import torch
from recipe_run import EnhanceBrain, fit, make_brain


class NotedBrain(EnhanceBrain):
    """Note the weights and the log's figures after every epoch."""

    def on_fit_start(self):
        """Start an empty notebook."""
        super().on_fit_start()
        self.notes, self.ids = [], []

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Note whose clips these were."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        self.ids += batch.id
        die_at = os.environ.get("DIE_AT") == str(self.step)
        if die_at and torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Note what this process holds."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == sb.Stage.VALID:
            encoders = {
                name: {k: v.clone() for k, v in term.loss.encoder.state_dict().items()}
                for name, term in self.loss.added.items()
            }
            weights = self.enhancer.state_dict().items()
            self.notes.append(
                {
                    "enhancer": {k: v.clone() for k, v in weights},
                    "encoders": encoders,
                    "scales": {k: x.scale for k, x in self.loss.added.items()},
                    "train": self.train_stats,
                }
            )
            self.notes[-1]["ids"], self.ids = self.ids, []


def train(output, system, run_opts, options):
    """Train both phases, and write what this process noted."""
    phases = {"number_of_epochs": 1, "phase_two_epochs": 2, "baseline_folder": None}
    overrides = {**phases, "batch_size": 4, **options}
    brain = fit(make_brain(output, system, NotedBrain, run_opts, **overrides))
    rank = torch.distributed.get_rank()
    torch.save(brain.notes, Path(output) / f"rank_{rank}.pt")


if __name__ == "__main__":
    output, options, *systems = sys.argv[1:]
    torch.set_num_threads(1)
    run_opts = {"device": "cpu", "distributed_backend": "gloo"}
    sb.utils.distributed.ddp_init_group(run_opts)
    for system in systems:
        name = Path(system).stem if Path(system).is_absolute() else system
        train(Path(output) / name, system, run_opts, json.loads(options))
    # Not destroy_process_group(): in it, and on the way out of Python, torch's gloo may
    # abort ("terminate called without an active exception"), behind a barrier, too. All
    # is written by now.
    torch.distributed.barrier()
    os._exit(0)
