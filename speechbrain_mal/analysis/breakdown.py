"""Means by what is known of the clips: their noise, their signal-to-noise ratio."""

import math
from collections.abc import Mapping
from pathlib import Path

from speechbrain_mal.analysis.comparison import Scores, table_head, table_line
from speechbrain_mal.metrics.registry import HEADINGS


def read_log(path: str | Path) -> dict[str, dict[str, str]]:
    """Read VoiceBank-DEMAND's `log_testset.txt`: noise and SNR of every clip.

    Returns
    -------
    dict of str to dict
        `{clip: {"noise": name, "SNR (dB)": number}}`.

    Raises
    ------
    ValueError
        When a line is not `<clip> <noise> <SNR>`.

    Example
    -------
    >>> path = getfixture("tmp_path") / "log.txt"
    >>> _ = path.write_text("p232_001 bus 17.5")
    >>> read_log(path)
    {'p232_001': {'noise': 'bus', 'SNR (dB)': '17.5'}}
    """
    groups = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        try:
            clip, noise, snr = line.split()
            float(snr)
        except ValueError:
            raise ValueError(
                f"{path}: {line!r} is not '<clip> <noise> <SNR in dB>'."
            ) from None
        groups[clip] = {"noise": noise, "SNR (dB)": snr}
    return groups


def breakdown(
    systems: Mapping[str, Scores], groups: Mapping[str, str], column: str
) -> dict[str, dict[str, tuple[float, int]]]:
    """Return each system's mean, and its clips, in every group.

    Arguments
    ---------
    systems : mapping of str to dict
        Scores by system.
    groups : mapping of str to str
        The group of every clip, such as its noise; others are left out.
    column : str
        The score.

    Returns
    -------
    dict of str to dict
        `{group: {system: (mean, clips)}}`, groups in numerical, or else in
        alphabetical order.

    Example
    -------
    >>> scores = {"a": {"pesq": 1.0}, "b": {"pesq": 2.0}, "c": {"pesq": 4.0}}
    >>> breakdown({"x": scores}, {"a": "10", "b": "5", "c": "5"}, "pesq")
    {'5': {'x': (3.0, 2)}, '10': {'x': (1.0, 1)}}
    """
    result: dict[str, dict[str, tuple[float, int]]] = {}
    for group in sorted(set(groups.values()), key=_order):
        result[group] = {}
        for name, scores in systems.items():
            values = [
                row[column]
                for clip, row in scores.items()
                if groups.get(clip) == group and math.isfinite(row[column])
            ]
            mean = sum(values) / len(values) if values else math.nan
            result[group][name] = mean, len(values)
    return result


def _order(group: str) -> tuple[float, str]:
    try:
        return float(group), ""
    except ValueError:
        return math.inf, group


def breakdown_markdown(
    systems: Mapping[str, Scores], log: Mapping[str, Mapping[str, str]], key: str
) -> str:
    """Return a table of means for every column, by what the log says of the clips."""
    groups = {clip: facts[key] for clip, facts in log.items()}
    columns = list(next(iter(next(iter(systems.values())).values()), {}))
    lines = []
    for column in columns:
        lines += ["", f"### {HEADINGS.get(column, column)} by {key}", ""]
        lines += table_head([key, "clips", *systems])
        for group, means in breakdown(systems, groups, column).items():
            clips = max(count for _, count in means.values())
            if clips:
                values = (f"{mean:.3f}" for mean, _ in means.values())
                lines.append(table_line([group, str(clips), *values]))
    return "\n".join(lines) + "\n"
