"""Scores of systems that are fed their own output, pass by pass."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

Curve = list[dict[str, float]]  # a row a pass: pass, clips, the mean of every score
Curves = dict[str, dict[str, Curve]]  # by system and seed


def read_curves(folder: Path) -> Curves:
    """Return mean scores by pass: rows of `<folder>/<system>/<seed>.csv`."""
    curves: Curves = {}
    for file in sorted(folder.glob("*/*.csv")):
        with open(file, encoding="utf-8", newline="") as stream:
            curves.setdefault(file.parent.name, {})[file.stem] = [
                {name: float(value or "nan") for name, value in row.items()}
                for row in csv.DictReader(stream)
            ]
    return curves


def whole_passes(curve: Sequence[Mapping[str, float]]) -> dict[int, Mapping]:
    """Return the rows of the passes, from the first on, that lost no clip, by pass."""
    rows = {}
    for row in curve:
        if row["clips"] < curve[0]["clips"]:
            break
        rows[int(row["pass"])] = row
    return rows


def mean_passes(by_seed: Mapping[str, Curve], column: str) -> dict[int, float]:
    """Return means over seeds, by pass: of the passes in which no seed lost a clip.

    Example
    -------
    >>> one, two = ([{"pass": 0, "clips": 9, "pesq": x}] for x in (1.0, 2.0))
    >>> mean_passes({"1": one, "2": two}, "pesq")
    {0: 1.5}
    """
    curves = [whole_passes(curve) for curve in by_seed.values()]
    common = sorted(set.intersection(*map(set, curves))) if curves else []
    return {
        number: sum(rows[number][column] for rows in curves) / len(curves)
        for number in common
    }
