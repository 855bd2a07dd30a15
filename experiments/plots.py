"""Pictures of RESULTS.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.definition import Experiment
from experiments.gains import Scores
from experiments.tables import Gains, mean_passes, named
from speechbrain_mal.analysis.plots import figure

_DPI = 80  # small files: they are committed


def plot_gains(
    gains: Mapping[str, Gains], columns: Sequence[str], name: str, path: Path
) -> None:
    """Draw gains, a row of panels a reference: bars over clips, a dot a training."""
    rows = len(gains)
    lines = max(len({system for system, _ in found}) for found in gains.values())
    drawing, axes = figure(len(columns), rows, 3.0, 0.9 + 0.26 * lines)
    for row, (against, found) in zip(axes, gains.items(), strict=True):
        systems = list(dict.fromkeys(system for system, _ in found))
        for axis, column, title in zip(row, columns, named(columns), strict=True):
            axis.set_title(f"{title}, over {against}", size=7)
            axis.axvline(0, color="black", linewidth=0.8)
            for line, system in enumerate(systems):
                if gain := found.get((system, column)):
                    axis.plot(gain.over_clips, [line, line], "tab:blue", linewidth=3)
                    dots = list(gain.by_training.values())
                    axis.plot(dots, [line] * len(dots), "k.", markersize=5)
            axis.set_yticks(range(len(systems)), systems, size=7)
            axis.set_ylim(len(systems) - 0.5, -0.5)
            axis.locator_params(axis="x", nbins=4)
            axis.tick_params(axis="x", labelsize=7)
    what = "gains; bars: 95 % over clips, clustered; dots: trainings"
    drawing.suptitle(f"{name}, {what}", size=8)
    drawing.savefig(path, dpi=_DPI)


def plot_trade(experiment: Experiment, scores: Scores, kind: str, path: Path) -> None:
    """Draw noisiness against coloration, gains over the baseline, a panel a set.

    A faint dot a training; bars, of three trainings and more, are 95 % over them. A
    better loss leaves the curve of remixing.
    """
    sets = experiment.judged()
    styles = [(f"C{i}", marker) for marker in "os^" for i in range(10)]
    drawing, axes = figure(len(sets), 1, 4.2, 3.6)
    for axis, name in zip(axes.flat, sets, strict=True):
        curve = [(0.0, 0.0)]
        for number, system in enumerate(experiment.sets[name].systems):
            key = (kind, name, system, experiment.baseline)
            x, y = (scores.gain(*key, c) for c in ("nisqa_noi", "nisqa_col"))
            if not x or not y or system == experiment.baseline:
                continue
            if system in experiment.remix:
                curve.append((x.mean, y.mean))
                continue
            color, marker = styles[number % len(styles)]
            if len(x.by_training) > 2:
                axis.plot(x.over_trainings, [y.mean] * 2, color=color, alpha=0.4)
                axis.plot([x.mean] * 2, y.over_trainings, color=color, alpha=0.4)
            dots = x.by_training.values(), y.by_training.values()
            axis.plot(*map(list, dots), ".", color=color, alpha=0.5)
            axis.plot(
                x.mean, y.mean, linestyle="", color=color, marker=marker, label=system
            )
        axis.plot(*zip(*sorted(curve), strict=True), "k.-", label="remixing")
        axis.set_title(name, size=8)
        for side, column in (("x", "nisqa_noi"), ("y", "nisqa_col")):
            getattr(axis, f"set_{side}label")(*named([column]), size=7)
        axis.tick_params(labelsize=7)
    lines = {
        label: line
        for axis in axes.flat
        for line, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(lines.values(), lines, loc="outside right upper", fontsize=7)
    drawing.savefig(path, dpi=_DPI)


def plot_curves(
    scores: Scores, systems: Sequence[str], column: str, path: Path
) -> None:
    """Draw a score against the number of passes: a curve a system, its seeds faint.

    A curve ends where a seed lost a clip.
    """
    drawing, axes = figure(1, 1, 4.5, 3.4)
    axis, last = axes.flat[0], 1
    for number, system in enumerate(systems):
        means = mean_passes(scores, system, column)
        if not means:
            continue
        last, color = max(last, *means), f"C{number}"
        for curve in scores.curves[system].values():
            seed = curve.loc[list(means), column]
            axis.plot(seed.index, seed, color=color, alpha=0.3, linewidth=0.8)
        axis.plot(*zip(*means.items(), strict=True), "o-", color=color, label=system)
    axis.set_xscale("symlog", linthresh=10)
    ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300) if tick <= last]
    axis.set_xticks(ticks, ticks)
    axis.set_xlabel("passes", size=8)
    axis.set_title(named([column])[0], size=9)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7)
    drawing.savefig(path, dpi=_DPI)
