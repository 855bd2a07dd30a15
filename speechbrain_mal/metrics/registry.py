"""The metrics there are: what each is called, returns, and needs."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata

from speechbrain_mal.metrics.pesq import pesq_wb
from speechbrain_mal.metrics.sdr import si_sdr
from speechbrain_mal.metrics.stoi import estoi


@dataclass(frozen=True)
class Metric:
    """A function that scores one clip, and what a table has to know of it.

    Arguments
    ---------
    function : callable
        `function(enhanced, clean, sample_rate, **options)`: waveforms `[samples]` to a
        number, or to a dict of numbers by column. It raises ValueError for a clip it is
        not defined for.
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
        Option without which it can't run: a model file or a source.
    package : str, optional
        Distribution that computes it, for the record.
    """

    function: Callable[..., float | dict[str, float]]
    columns: dict[str, str]
    needs_clean: bool = True
    lower_is_better: bool = False
    weight: str | None = None
    transcript: bool = False
    file: str | None = None
    package: str | None = None


METRICS = {
    "pesq": Metric(pesq_wb, {"pesq": "PESQ-WB"}, package="pesq"),
    "estoi": Metric(estoi, {"estoi": "ESTOI"}, package="pystoi"),
    "si_sdr": Metric(si_sdr, {"si_sdr": "SI-SDR (dB)"}),
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


def expand(names: Iterable[str]) -> list[str]:
    """Put the metrics of a group in its place, each once.

    Arguments
    ---------
    names : iterable of str
        Metrics, or "intrusive", all that compare with the clean clip, or "all"; groups
        hold no metric that needs a file.

    Example
    -------
    >>> expand(["si_sdr", "intrusive"])[:2]
    ['si_sdr', 'pesq']
    """
    ready = [name for name, metric in METRICS.items() if not metric.file]
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
    """Raise where a metric, or one that options are for, does not exist.

    Arguments
    ---------
    names : iterable of str
        Metrics to be computed.
    options : dict of str to dict, optional
        Options by metric.

    Raises
    ------
    ValueError
        When a metric is unknown, or lacks the file it needs.

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
        file = METRICS[name].file
        if file and file not in options.get(name, {}):
            raise ValueError(f"{name} needs the option {file!r}.")


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
