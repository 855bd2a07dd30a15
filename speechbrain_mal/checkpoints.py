"""Checkpoints that a kill can't break, and the state that makes a resume exact."""

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    METAFNAME,
    Checkpoint,
    Checkpointer,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import (
    ddp_barrier,
    if_main_process,
    is_distributed_initialized,
)

from speechbrain_mal.metrics.registry import LOWER_IS_BETTER, columns


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, safe against being killed while it saves.

    SpeechBrain takes a folder with a meta file for a checkpoint, and writes that file
    first: a run killed while it saves, or on a full disk, could not be resumed. Here
    the meta file appears last, and folders without one are cleared away.

    Arguments
    ---------
    checkpoints_dir : path
        Folder of the checkpoints.
    recoverables : mapping, optional
        Objects to save, by name.
    **options
        As of SpeechBrain's Checkpointer.

    Example
    -------
    >>> model = torch.nn.Linear(1, 1)
    >>> folder = getfixture("tmp_path")
    >>> checkpointer = AtomicCheckpointer(folder, {"model": model})
    >>> _ = checkpointer.save_checkpoint()
    >>> (folder / "CKPT+killed-while-saving").mkdir()
    >>> _ = checkpointer.save_checkpoint()
    >>> len(list(folder.iterdir()))
    2
    """

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        """Save a checkpoint as SpeechBrain does, its meta file last."""
        if if_main_process():
            for folder in self.checkpoints_dir.glob(f"{CKPT_PREFIX}*"):
                if folder.is_dir() and not (folder / METAFNAME).exists():
                    shutil.rmtree(folder)
        checkpoint = super().save_checkpoint(*args, **kwargs)
        if checkpoint is not None:
            meta = checkpoint.path / METAFNAME
            os.replace(_partial(meta), meta)
        # Each process lists the checkpoints and chooses which are deleted; where their
        # lists differ, SpeechBrain waits for ever.
        ddp_barrier()
        return checkpoint

    def _save_checkpoint_metafile(self, fpath: Path, *args: Any, **kwargs: Any) -> dict:
        return super()._save_checkpoint_metafile(_partial(fpath), *args, **kwargs)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def selection(
    which: str, ckpt_metric: str, valid_metrics: Sequence[str]
) -> dict[str, str]:
    """Return how to find a checkpoint, as SpeechBrain's Checkpointer takes it.

    Arguments
    ---------
    which : str
        "best", by `ckpt_metric`, or "last".
    ckpt_metric : str
        A column of the validation's metrics, or a loss.
    valid_metrics : sequence of str
        Metrics of the validation.

    Example
    -------
    >>> selection("best", "pesq", ["pesq"]), selection("best", "loss", ["pesq"])
    ({'max_key': 'pesq'}, {'min_key': 'loss'})
    >>> selection("last", "pesq", ["pesq"])
    {'max_key': 'epoch'}
    """
    if which == "last":
        return {"max_key": "epoch"}
    scores = set(columns(valid_metrics)) - LOWER_IS_BETTER
    return {"max_key" if ckpt_metric in scores else "min_key": ckpt_metric}


def run_checkpoints(folder: str | os.PathLike) -> Checkpointer:
    """Return the checkpoints of a finished run.

    Arguments
    ---------
    folder : path
        The run's output folder, or the folder of the checkpoints itself.

    Raises
    ------
    ValueError
        When there are none.
    """
    for path in (Path(folder) / "save", Path(folder)):
        if list(path.glob(f"{CKPT_PREFIX}*")):
            return Checkpointer(path)
    raise ValueError(
        f"{folder} holds no checkpoint (CKPT+...), nor does its save folder: give the "
        "output_folder of a trained run."
    )


def load_enhancer(enhancer: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's enhancer, strictly and without running code.

    Arguments
    ---------
    enhancer : nn.Module
        Where the weights go.
    checkpoint : Checkpoint
        What a `Checkpointer` finds.

    Raises
    ------
    ValueError
        When the weights are missing, or those of another model.
    """
    path = checkpoint.paramfiles.get("enhancer", checkpoint.path / "enhancer.ckpt")
    try:
        enhancer.load_state_dict(torch.load(path, "cpu", weights_only=True))
    except (OSError, RuntimeError) as error:
        first = " ".join(str(error).split("\n\t")[:2])
        raise ValueError(
            f"{path} doesn't fit the model: {first} It has to have been trained with "
            "the same model settings."
        ) from error


@register_checkpoint_hooks
class TrainingState:
    """Random state and running means of an epoch, saved with the checkpoint.

    Attributes
    ----------
    means : dict
        Sum and number of each logged value since the epoch began.
    """

    def __init__(self):
        self.means: dict[str, list[float]] = {}
        self._random: dict | None = None

    def average(self, values: dict[str, float]) -> None:
        """Add one batch's values to the running means."""
        for name, value in values.items():
            total, number = self.means.get(name, (0.0, 0))
            self.means[name] = [total + value, number + 1]

    def pop_means(self) -> dict[str, float]:
        """Return the means, over all processes' batches, and start anew."""
        sums, self.means = self.means, {}
        if is_distributed_initialized():
            every = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(every, sums)
            sums = {
                name: [sum(one[name][i] for one in every) for i in (0, 1)]
                for name in sums
            }
        return {name: total / number for name, (total, number) in sums.items()}

    def restore_random(self) -> None:
        """Set the random states of a loaded checkpoint, once."""
        if self._random is None:
            return
        random.setstate(self._random["python"])
        kind, keys, *rest = self._random["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(self._random["torch"])
        if torch.cuda.is_available() and self._random["cuda"]:
            torch.cuda.set_rng_state_all(self._random["cuda"])
        self._random = None

    @mark_as_saver
    def _save(self, path: Path) -> None:
        kind, keys, *rest = np.random.get_state()
        state = {  # plain types only: loading it never unpickles code
            "python": random.getstate(),
            "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        torch.save({"random": state, "means": self.means}, path)

    @mark_as_loader
    def _load(self, path: Path, end_of_epoch: bool) -> None:
        if end_of_epoch:  # every epoch starts from its own seed and empty means
            return
        state = torch.load(path, weights_only=True)
        self._random, self.means = state["random"], state["means"]


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed Python, NumPy and torch for one epoch: it depends on nothing before it."""
    number = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
