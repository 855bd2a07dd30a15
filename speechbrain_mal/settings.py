"""What the settings of a run have to agree on, told before it trains."""

import io
import os
from collections.abc import Mapping
from types import SimpleNamespace

from hyperpyyaml.core import recursive_update
from ruamel.yaml import YAML
from torch import nn

from speechbrain_mal.contracts import Enhancer
from speechbrain_mal.metrics.registry import check_metrics, columns


def with_loss_file(hparams_file: str | os.PathLike, overrides: str | Mapping) -> str:
    r"""Return a recipe's overrides with those of the file that its `loss_file` names.

    Such a file has overrides of the recipe's YAML, as the command line has them; what
    the command line says counts for more. Takes and returns YAML, for
    `load_hyperpyyaml`.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "train.yaml").write_text("mal_weight: 1\nloss_file: null")
    >>> other = folder / "other.yaml"
    >>> _ = other.write_text("mal_weight: 0\nencoder: !ref <network>")
    >>> print(with_loss_file(folder / "train.yaml", f"loss_file: {other}"))
    mal_weight: 0
    encoder: !ref <network>
    loss_file: /.../other.yaml
    """
    yaml = YAML()
    with open(hparams_file, encoding="utf-8") as file:
        path = (yaml.load(file) or {}).get("loss_file")
    given = yaml.load(overrides) if isinstance(overrides, str) else overrides
    path, merged = (given or {}).get("loss_file", path), {}
    if path is not None:
        if not os.path.isfile(path):
            raise ValueError(f"loss_file {path} is no file: recipes/losses has some.")
        with open(path, encoding="utf-8") as file:
            merged = yaml.load(file)
    recursive_update(merged, given or {})
    text = io.StringIO()
    yaml.dump(merged, text)
    return text.getvalue()


def check_settings(h: SimpleNamespace, loss: nn.Module, enhancer: nn.Module) -> None:
    """Refuse settings that contradict each other, by a ValueError or TypeError.

    Of the `loss`, a `WeightedLoss`, the `conventional` and `added` terms are looked at.
    `h` is the Brain's `hparams`:

    * `loss`; `number_of_epochs`, `phase_two_epochs`: of the phases; `epoch_counter`;
    * `baseline_folder`: output folder of the run to start phase two from, when
      `number_of_epochs` is 0; `start_from`: its "best" or "last" checkpoint;
    * `freeze_encoder`: whether phase two trains the rest of the model only;
    * `lr_schedule`, `phase_two_lr_schedule`: epoch of the phase, from 1, to the
      learning rate, first of what they return (SpeechBrain's schedulers);
    * `ckpt_metric`: what chooses the best checkpoint, a column of `valid_metrics`
      or "loss" or a term's name; `test_from`: whether the test takes the "best" or
      the "last";
    * `valid_metrics`, `test_metrics`, `metric_options` (optional), `metric_jobs`,
      `sample_rate`: as `metrics.evaluate` takes them;
    * `train_crop`, `train_mixing`: optional, told of every epoch by `set_epoch`;
      `seed`;
    * `weight_decay_schedule`, optional: epoch of the run to the weight decay;
    * `batch_growth`, optional: see `schedules.batches_per_step`;
    * `train_logger`; `tensorboard_train_logger`, optional;
    * `scores_file`, `enhanced_folder`: where the test's scores and clips go;
      clips are written when the folder is given.
    """
    if not isinstance(enhancer, Enhancer):
        raise TypeError(
            f"modules.enhancer is a {type(enhancer).__name__}, not a speechbrain_mal."
            "Enhancer: docs/your_model.md says how a model becomes one."
        )
    for metrics in (h.valid_metrics, h.test_metrics):
        check_metrics(metrics, getattr(h, "metric_options", {}))
    baseline = getattr(h, "baseline_folder", None)
    if bool(baseline) == bool(h.number_of_epochs):
        raise ValueError(
            f"number_of_epochs is {h.number_of_epochs} and baseline_folder is "
            f"{baseline!r}: phase two starts either from this run's "
            "phase one (number_of_epochs > 0, baseline_folder null), or from "
            "another run's (number_of_epochs 0 and its folder)."
        )
    scores = columns(h.valid_metrics)
    if twice := {"loss", *loss.conventional, *loss.added} & set(scores):
        raise ValueError(
            f"{sorted(twice)} are names both of valid_metrics and of terms of the "
            "loss: the log and ckpt_metric could mean either. Give the terms others."
        )
    known = ["loss", *loss.conventional, *scores]
    if h.ckpt_metric not in known:
        raise ValueError(f"ckpt_metric is one of {known}, not {h.ckpt_metric!r}.")
    if h.freeze_encoder and not hasattr(enhancer, "encoder"):
        raise ValueError(
            f"freeze_encoder is True, but the {type(enhancer).__name__} in "
            "modules has no attribute encoder: give it one (docs/your_model.md)."
        )
    parts = {"enhancer": enhancer, **loss.conventional}
    for name, term in loss.added.items():
        parts[f"encoder of {name}"] = getattr(term.loss, "encoder", None)
    for name, part in parts.items():
        rate = getattr(part, "sample_rate", None) or h.sample_rate
        if rate != h.sample_rate:
            raise ValueError(
                f"sample_rate is {h.sample_rate}, but the {name} "
                f"({type(part).__name__}) was built for {rate} Hz: give it "
                "sample_rate: !ref <sample_rate>."
            )


def check_steps(epoch: int, steps: int, batches: int) -> None:
    """Refuse an epoch in which the optimizer took no step, of so many batches each."""
    if not steps:
        raise ValueError(
            f"Epoch {epoch} has fewer batches than the {batches} that make a step of "
            "the optimizer: lower batch_growth or grad_accumulation_factor, or make "
            "the epoch longer."
        )
