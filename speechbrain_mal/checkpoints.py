"""Checkpoints that a kill can't break, and how to find and load them."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    METAFNAME,
    Checkpoint,
    Checkpointer,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

from speechbrain_mal.metrics.registry import LOWER_IS_BETTER, columns

logger = get_logger(__name__)
_META_KEYS = {"unixtime", "end-of-epoch"}  # SpeechBrain's own


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, safe against being killed while it saves.

    SpeechBrain takes a folder with a meta file for a checkpoint, and writes that file
    first: a run killed while it saves, or on a full disk, could not be resumed. Here
    the meta file appears last, and folders without one are cleared away. A checkpoint
    that a disk damaged is named, and the one before it is taken. Arguments are
    SpeechBrain's.

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

    def recover_if_possible(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        """Load a checkpoint as SpeechBrain does, or the next best if it is damaged."""
        reason = None
        for checkpoint in self.find_checkpoints(*args, **kwargs):
            try:
                self.load_checkpoint(checkpoint)
            except Exception as error:  # of any object's own way to load
                reason = reason or error
                logger.warning(
                    f"{checkpoint.path} can't be loaded and is left out: {error}"
                )
            else:
                return checkpoint
        if reason is not None:  # none of them can: they are not what is damaged
            raise reason
        return None

    @staticmethod
    def _construct_checkpoint_objects(checkpoint_dirs: list[Path]) -> list[Checkpoint]:
        found = []
        for path in checkpoint_dirs:
            try:
                (one,) = Checkpointer._construct_checkpoint_objects([path])
                if not _META_KEYS <= one.meta.keys():
                    raise ValueError("it is cut off")
            except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
                logger.warning(
                    f"{path / METAFNAME} can't be read, and the checkpoint is left out:"
                    f" {error}"
                )
            else:
                found.append(one)
        return found

    def _save_checkpoint_metafile(self, fpath: Path, *args: Any, **kwargs: Any) -> dict:
        return super()._save_checkpoint_metafile(_partial(fpath), *args, **kwargs)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def selection(
    which: str, ckpt_metric: str, valid_metrics: Sequence[str]
) -> dict[str, str]:
    """Return how to find a checkpoint, as SpeechBrain's Checkpointer takes it.

    "best" is by `ckpt_metric`, a column of the validation's metrics or a loss; or
    "last".

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
    """Return a run's checkpoints, of its output folder or theirs; none are an error."""
    for path in (Path(folder) / "save", Path(folder)):
        if list(path.glob(f"{CKPT_PREFIX}*")):
            return Checkpointer(path)
    raise ValueError(
        f"{folder} holds no checkpoint (CKPT+...), nor does its save folder: give the "
        "output_folder of a trained run."
    )


def load_enhancer(enhancer: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's enhancer, strictly and without running code.

    Weights that are missing, or another model's, are a ValueError.
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


def starting_checkpoint(
    baseline_folder: str | os.PathLike | None,
    checkpointer: Checkpointer | None,
    keys: dict[str, str],
    sample_rate: int,
) -> Checkpoint | None:
    """Return the checkpoint that phase two starts from, None where there is none.

    It is one of `baseline_folder`, another run's, or else of this run; `keys` are what
    `selection` returns. A baseline without such a checkpoint, or of another rate (Hz),
    is a ValueError.
    """
    if baseline_folder is not None:
        try:
            checkpointer = run_checkpoints(baseline_folder)
        except ValueError as error:
            raise ValueError(f"baseline_folder {error}") from None
    checkpoint = checkpointer and checkpointer.find_checkpoint(**keys)
    if checkpoint is None and baseline_folder is not None:
        raise ValueError(
            f"baseline_folder {baseline_folder} has no checkpoint with the metric "
            f"{next(iter(keys.values()))!r}: train the baseline first, or name another "
            "folder."
        )
    if checkpoint is not None:
        rate = checkpoint.meta.get("sample_rate", sample_rate)
        if rate != sample_rate:
            raise ValueError(
                f"{checkpoint.path} was trained at {rate} Hz, and sample_rate is "
                f"{sample_rate}: the weights would fit, but not the frequencies. Take "
                "a baseline of the same rate."
            )
    return checkpoint
