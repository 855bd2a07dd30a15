"""The metrics there are: how each is named, what it returns and needs."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module, metadata


@dataclass(frozen=True)
class Metric:
    """A function that scores one clip, and what a table has to know of it.

    Arguments
    ---------
    function : str or callable
        As `speechbrain_mal.metrics` describes it. As `module.name` in this package it
        is imported when it is used: most processes need neither torch nor SpeechBrain.
    columns : dict of str to str
        Columns of the table, and how a heading names them.
    needs_clean : bool
        Whether it compares with the clean clip.
    lower_is_better : bool
        Whether it measures an error.
    weight : str, optional
        Column that weighs the clips in the mean (words, for a word error rate).
    transcript : bool
        Whether the function takes the spoken words, as `transcript`.
    file : str, optional
        Option that names a model's file or source.
    required : bool
        Whether it can't run without that option; otherwise it fetches the file.
    package : str, optional
        Distribution that computes it, for the record.
    """

    function: str | Callable[..., float | dict[str, float]]
    columns: dict[str, str]
    needs_clean: bool = True
    lower_is_better: bool = False
    weight: str | None = None
    transcript: bool = False
    file: str | None = None
    required: bool = False
    package: str | None = None

    def load(self) -> Callable[..., float | dict[str, float]]:
        """Return the function."""
        if callable(self.function):
            return self.function
        module, name = self.function.split(".")
        return getattr(import_module(f"speechbrain_mal.metrics.{module}"), name)


def _several(metric: str, heading: str, **columns: str) -> dict[str, str]:
    return {f"{metric}_{key}": f"{heading} {name}" for key, name in columns.items()}


METRICS = {
    "pesq": Metric("pesq_stoi.pesq_wb", {"pesq": "PESQ-WB"}, package="pesq"),
    "pesq_nb": Metric("pesq_stoi.pesq_nb", {"pesq_nb": "PESQ-NB"}, package="pesq"),
    "stoi": Metric("pesq_stoi.stoi", {"stoi": "STOI"}, package="pystoi"),
    "estoi": Metric("pesq_stoi.estoi", {"estoi": "ESTOI"}, package="pystoi"),
    "si_sdr": Metric("snr.si_sdr", {"si_sdr": "SI-SDR (dB)"}),
    "snr": Metric("snr.snr", {"snr": "SNR (dB)"}),
    "segmental_snr": Metric(
        "snr.segmental_snr", {"segmental_snr": "segmental SNR (dB)"}
    ),
    "composite": Metric(
        "composite.composite",
        {name: name.upper() for name in ("csig", "cbak", "covl")},
        package="pesq",
    ),
    "lsd": Metric("urgent.lsd", {"lsd": "LSD"}, lower_is_better=True),
    "mcd": Metric("urgent.mcd", {"mcd": "MCD (dB)"}, lower_is_better=True),
    "dnsmos": Metric(
        "mos_onnx.dnsmos",
        _several("dnsmos", "DNSMOS", sig="SIG", bak="BAK", ovrl="OVRL", p808="P.808"),
        needs_clean=False,
        package="speechmos",
    ),
    "nisqa": Metric(
        "mos_torch.nisqa",
        {"nisqa_mos": "NISQA"}
        | _several("nisqa", "NISQA", noi="noisiness", dis="discontinuity")
        | _several("nisqa", "NISQA", col="coloration", loud="loudness"),
        needs_clean=False,
        file="weights",
        package="torchmetrics",
    ),
    "distillmos": Metric(
        "mos_torch.distillmos",
        {"distillmos": "Distill-MOS"},
        needs_clean=False,
        package="distillmos",
    ),
    "sigmos": Metric(
        "mos_onnx.sigmos",
        _several("sigmos", "SIGMOS", col="coloration", disc="discontinuity")
        | _several("sigmos", "SIGMOS", loud="loudness", noise="noise")
        | _several("sigmos", "SIGMOS", reverb="reverberation", sig="signal")
        | _several("sigmos", "SIGMOS", ovrl="overall"),
        needs_clean=False,
        file="weights",
        package="onnxruntime",
    ),
    "scoreq": Metric(
        "mos_onnx.scoreq",
        {"scoreq": "ScoreQ"},
        needs_clean=False,
        file="weights",
        package="onnxruntime",
    ),
    "scoreq_ref": Metric(
        "mos_onnx.scoreq_ref",
        {"scoreq_ref": "ScoreQ distance"},
        lower_is_better=True,
        file="weights",
        package="onnxruntime",
    ),
    "wer": Metric(
        "wer.wer",
        {"wer": "WER (%)", "wer_words": "words"},
        needs_clean=False,
        lower_is_better=True,
        weight="wer_words",
        transcript=True,
        file="source",
        required=True,
        package="speechbrain",
    ),
}

HEADINGS = {
    column: heading
    for metric in METRICS.values()
    for column, heading in metric.columns.items()
}
LOWER_IS_BETTER = {
    column
    for metric in METRICS.values()
    if metric.lower_is_better
    for column in metric.columns
}


def expand(names: Iterable[str], options: dict[str, dict] | None = None) -> list[str]:
    """Put the metrics of a group in its place, each once.

    "intrusive" are all that compare with the clean clip, "all" is all; a metric that
    takes a file is among them where the options, by metric, name it.

    Example
    -------
    >>> expand(["si_sdr", "intrusive"])[:2]
    ['si_sdr', 'pesq']
    >>> "nisqa" in expand(["all"], {"nisqa": {"weights": "nisqa.tar"}})
    True
    """
    ready = [
        name
        for name, metric in METRICS.items()
        if not metric.file or metric.file in (options or {}).get(name, {})
    ]
    groups = {
        "intrusive": [name for name in ready if METRICS[name].needs_clean],
        "all": ready,
    }
    found = (metric for name in names for metric in groups.get(name, [name]))
    return list(dict.fromkeys(found))


def columns(names: Iterable[str]) -> list[str]:
    """Return the columns of some metrics.

    Example
    -------
    >>> columns(["pesq", "si_sdr"])
    ['pesq', 'si_sdr']
    """
    return [column for name in names for column in METRICS[name].columns]


def check_metrics(names: Iterable[str], options: dict[str, dict] | None = None) -> None:
    """Raise ValueError where a metric is unknown, or lacks an option that it needs.

    Arguments
    ---------
    names : iterable of str
        Metrics to be computed.
    options : dict of str to dict, optional
        Options by metric.

    Example
    -------
    >>> check_metrics(["pesq", "mos"])
    Traceback (most recent call last):
    ValueError: No metric ['mos']: choose from ['pesq', ...
    """
    options = options or {}
    if unknown := [name for name in [*names, *options] if name not in METRICS]:
        raise ValueError(f"No metric {unknown}: choose from {[*METRICS]}.")
    for name in names:
        metric = METRICS[name]
        if metric.required and metric.file not in options.get(name, {}):
            raise ValueError(f"{name} needs the option {metric.file!r}.")


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of what computes the metrics, for the record.

    Example
    -------
    >>> sorted(versions(["pesq"]))
    ['numpy', 'pesq', 'python', 'scipy', 'speechbrain-mal']
    """
    packages = {METRICS[name].package for name in names} - {None}
    return {
        "python": sys.version.split()[0],
        **{
            package: metadata.version(package)
            for package in sorted({"numpy", "scipy", "speechbrain-mal", *packages})
        },
    }
