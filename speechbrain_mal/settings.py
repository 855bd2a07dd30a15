"""What the settings of a run have to agree on, told before it trains."""

from types import SimpleNamespace

from torch import nn

from speechbrain_mal.metrics.registry import check_metrics, columns


def check_settings(h: SimpleNamespace, loss: nn.Module, enhancer: nn.Module) -> None:
    """Refuse settings that contradict each other.

    Arguments
    ---------
    h : SimpleNamespace
        The Brain's `hparams`, see `MALBrain`.
    loss : WeightedLoss
        Its `conventional` and `added` terms are looked at.
    enhancer : nn.Module
        The model.

    Raises
    ------
    ValueError
        When they do; it names the setting and what it can be.
    """
    for metrics in (h.valid_metrics, h.test_metrics):
        check_metrics(metrics, getattr(h, "metric_options", None))
    if h.refresh not in ("never", "epoch", "batch", "ema"):
        raise ValueError(f"refresh is never, epoch, batch or ema, not {h.refresh!r}.")
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
        parts[f"encoder of {name}"] = getattr(term, "encoder", None)
    for name, part in parts.items():
        rate = getattr(part, "sample_rate", h.sample_rate)
        if rate != h.sample_rate:
            raise ValueError(
                f"sample_rate is {h.sample_rate}, but the {name} "
                f"({type(part).__name__}) was built for {rate} Hz: give it "
                "sample_rate: !ref <sample_rate>."
            )
