"""The metrics there are, by name, and what is asked of all of them."""

import math
import sys
from collections.abc import Iterable
from importlib import metadata

from speechbrain_mal.metrics.metric import Metric


def _several(metric: str, heading: str, names: str) -> dict[str, str]:
    """Return headings by column, of names as `column:heading`."""
    pairs = (name.split(":") for name in names.split())
    return {f"{metric}_{key}": f"{heading} {name}" for key, name in pairs}


_BOTH = ("enhanced", "clean")
# The package `pesq` keeps at most 50 utterances (speech between pauses of more than
# 0.2 s) and writes past their arrays when there are more: wrong scores, then a
# segmentation fault. Speech that pauses less than every 0.8 s stays below 50 for 40 s.
_PESQ = {"audible": _BOTH, "seconds": (0.25, 40), "package": "pesq"}
# 30 frames, 12.8 ms apart, make the first correlation.
_STOI = {"seconds": (0.384, math.inf), "package": "pystoi"}
_ERROR = {"lower_is_better": True}
_OPINION = {"needs_clean": False, "audible": ("enhanced",)}
_ONNX = {"file": "weights", "package": "onnxruntime"}
# From wav2vec 2.0's first frame to where its attention, which needs memory with the
# square of the frames, takes 0.4 GB a layer.
_SCOREQ = {
    "seconds": (0.025, 60),
    "rates": (16000,),
    "options": {"domain": ("natural", "synthetic")},
    **_ONNX,
}

METRICS = {
    # P.862.2 is defined at 16 kHz alone; P.862 has input filters for both rates.
    "pesq": Metric("intrusive.pesq_wb", {"pesq": "PESQ-WB"}, rates=(16000,), **_PESQ),
    "pesq_nb": Metric(
        "intrusive.pesq_nb", {"pesq_nb": "PESQ-NB"}, rates=(8000, 16000), **_PESQ
    ),
    "stoi": Metric("intrusive.stoi", {"stoi": "STOI"}, **_STOI),
    "estoi": Metric("intrusive.estoi", {"estoi": "ESTOI"}, **_STOI),
    "si_sdr": Metric("intrusive.si_sdr", {"si_sdr": "SI-SDR (dB)"}, audible=_BOTH),
    "snr": Metric("intrusive.snr", {"snr": "SNR (dB)"}),
    "segmental_snr": Metric(
        "composite.segmental_snr",
        {"segmental_snr": "segmental SNR (dB)"},
        seconds=(0.0375, math.inf),  # two frames
    ),
    "composite": Metric(
        "composite.composite",
        {name: name.upper() for name in ("csig", "cbak", "covl")},
        rates=(16000,),
        **_PESQ,
    ),
    "lsd": Metric("urgent.lsd", {"lsd": "LSD"}, **_ERROR),
    "mcd": Metric("urgent.mcd", {"mcd": "MCD (dB)"}, **_ERROR),
    "dnsmos": Metric(
        "mos_onnx.dnsmos",
        _several("dnsmos", "DNSMOS", "sig:SIG bak:BAK ovrl:OVRL p808:P.808"),
        rates=(16000,),
        package="speechmos",
        **_OPINION,
    ),
    "nisqa": Metric(
        "mos_torch.nisqa",
        {"nisqa_mos": "NISQA"}
        | _several(
            "nisqa",
            "NISQA",
            "noi:noisiness dis:discontinuity col:coloration loud:loudness",
        ),
        seconds=(0.14, 52),  # one window of 15 frames to 1300 segments of 4 windows
        file="weights",
        options={"level_db": ()},
        package="torchmetrics",
        **_OPINION,
    ),
    "distillmos": Metric(
        "mos_torch.distillmos",
        {"distillmos": "Distill-MOS"},
        rates=(16000,),
        package="distillmos",
        **_OPINION,
    ),
    "sigmos": Metric(
        "mos_onnx.sigmos",
        _several(
            "sigmos",
            "SIGMOS",
            "col:coloration disc:discontinuity loud:loudness noise:noise "
            "reverb:reverberation sig:signal ovrl:overall",
        ),
        seconds=(0.15, math.inf),  # the network halves its frames four times
        options={"peak_db": ()},
        **_ONNX,
        **_OPINION,
    ),
    "scoreq": Metric("mos_onnx.scoreq", {"scoreq": "ScoreQ"}, **_SCOREQ, **_OPINION),
    "scoreq_ref": Metric(
        "mos_onnx.scoreq_ref",
        {"scoreq_ref": "ScoreQ distance"},
        audible=_BOTH,
        **_SCOREQ,
        **_ERROR,
    ),
    "wer": Metric(
        "wer.wer",
        {"wer": "WER (%)", "wer_words": "words"},
        needs_clean=False,
        audible=(),
        seconds=(0.1, math.inf),  # no word is shorter, and most recognisers need frames
        weight="wer_words",
        transcript=True,
        file="source",
        required=True,
        options={"savedir": ()},
        package="speechbrain",
        **_ERROR,
    ),
}

HEADINGS: dict[str, str] = {}
LOWER_IS_BETTER: set[str] = set()
for _metric in METRICS.values():
    HEADINGS |= _metric.columns
    LOWER_IS_BETTER |= _metric.columns.keys() if _metric.lower_is_better else set()


def expand(names: Iterable[str], options: dict[str, dict] | None = None) -> list[str]:
    """Put the metrics of the groups "intrusive" and "all" in their place, each once.

    Those of the first compare with the clean clip; a metric that takes a file is among
    them where the options, by metric, name it.

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
    >>> columns(["pesq", "wer"])
    ['pesq', 'wer', 'wer_words']
    """
    return [column for name in names for column in METRICS[name].columns]


def check_metrics(names: Iterable[str], options: dict[str, dict] | None = None) -> None:
    """Raise ValueError where a metric or one of its options is unknown or missing.

    Without `options`, None, those that metrics need are not missed.

    Example
    -------
    >>> check_metrics(["pesq", "mos"])
    Traceback (most recent call last):
    ValueError: No metric ['mos']: choose from ['pesq', ...
    >>> check_metrics(["nisqa"], {"nisqa": {"level": -20}})
    Traceback (most recent call last):
    ValueError: nisqa has no option 'level': choose from ['weights', 'level_db'].
    """
    names, needed = list(names), options is not None
    options = options or {}
    if unknown := [name for name in [*names, *options] if name not in METRICS]:
        raise ValueError(f"No metric {unknown}: choose from {[*METRICS]}.")
    for name, given in options.items():
        known = [*filter(None, [METRICS[name].file]), *METRICS[name].options]
        for option, value in given.items():
            if option not in known:
                choice = f"choose from {known}" if known else "it has none"
                raise ValueError(f"{name} has no option {option!r}: {choice}.")
            values = METRICS[name].options.get(option, ())
            if values and value not in values:
                choice = ", ".join(values)
                raise ValueError(f"{name} has no {option} {value!r}: choose {choice}.")
    for name in names if needed else ():
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
    packages = {"numpy", "scipy", "speechbrain-mal"}
    packages |= {METRICS[name].package for name in names} - {None}
    found = {package: metadata.version(package) for package in sorted(packages)}
    return {"python": sys.version.split()[0], **found}
