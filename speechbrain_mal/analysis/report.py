"""A table of finished runs beside the noisy input, and pictures of some clips.

    python -m speechbrain_mal.analysis.report results/*/1234 --data-folder VoiceBank

reads what the recipe's test wrote into each run's output folder.
"""

import argparse
import csv
import json
import math
from pathlib import Path

import numpy as np
import soundfile

from speechbrain_mal.analysis.spectrograms import plot_spectrograms
from speechbrain_mal.metrics import ScoreTable

NAMES = {"pesq": "PESQ-WB", "estoi": "ESTOI", "si_sdr": "SI-SDR (dB)"}

Scores = dict[str, dict[str, float]]


def read_scores(path: Path) -> Scores:
    """Read a `scores_*.csv` of the recipe: metric by clip, NaN where it failed.

    Raises
    ------
    FileNotFoundError
        When the run has not been tested.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: let the recipe's run come to its test first."
        )
    with open(path, encoding="utf-8", newline="") as file:
        return {
            row.pop("clip"): {name: float(v or "nan") for name, v in row.items()}
            for row in csv.DictReader(file)
        }


def read_pairs(run: Path, data_folder: Path) -> dict[str, tuple[str, str]]:
    """Return noisy and clean path of every test clip of a run."""
    manifest = json.loads((run / "test.json").read_text(encoding="utf-8"))
    return {
        clip: tuple(
            entry[key].replace("{data_root}", str(data_folder))
            for key in ("noisy_wav", "clean_wav")
        )
        for clip, entry in manifest.items()
    }


def score_noisy(pairs: dict[str, tuple[str, str]], metrics: list[str]) -> Scores:
    """Score the noisy clips as they are."""
    table = None
    for clip, paths in pairs.items():
        noisy, clean = (soundfile.read(path, dtype="float32") for path in paths)
        table = table or ScoreTable(metrics, noisy[1])
        table.add(clip, noisy[0], clean[0])
    table.score(jobs=2, progressbar=True)
    return table.rows


def difference(scores: Scores, control: Scores, metric: str) -> tuple[float, ...]:
    """Return the mean difference over clips, and its 95 % bootstrap interval.

    Arguments
    ---------
    scores, control : dict
        Scores of the same clips by two systems.
    metric : str
        Name of the metric.

    Returns
    -------
    tuple of float
        Mean, lower and upper end; the interval covers the choice of clips, not that
        of the seed.

    Example
    -------
    >>> one = {str(i): {"pesq": 2.0 + i} for i in range(9)}
    >>> two = {str(i): {"pesq": 1.5 + i} for i in range(9)}
    >>> [round(x, 3) for x in difference(one, two, "pesq")]
    [0.5, 0.5, 0.5]
    """
    pairs = [(scores[clip][metric], control[clip][metric]) for clip in scores]
    values = np.array([a - b for a, b in pairs if not math.isnan(a - b)])
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(1)
    return values.mean().item(), *np.percentile(means, [2.5, 97.5]).tolist()


def markdown_table(systems: dict[str, Scores], control: str | None = None) -> str:
    """Return means as a Markdown table, with differences from a control if named."""
    metrics = list(next(iter(next(iter(systems.values())).values())))
    head = ["system", *(NAMES.get(metric, metric) for metric in metrics)]
    if control:
        head += [f"Δ {NAMES.get(metric, metric)} [95 %]" for metric in metrics]
    rows = [head, ["---"] * len(head)]
    for name, scores in systems.items():
        row = [name]
        for metric in metrics:
            values = [score[metric] for score in scores.values()]
            failed = sum(map(math.isnan, values))
            row.append(f"{np.nanmean(values):.3f}")
            row[-1] += f" ({failed} not scored)" if failed else ""
        if control:
            for metric in metrics:
                mean, low, high = difference(scores, systems[control], metric)
                same = name == control
                row.append("" if same else f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]")
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(
    pairs: dict[str, tuple[str, str]],
    systems: dict[str, Scores],
    runs: dict[str, Path],
    test_set: str,
    folder: Path,
    number: int,
) -> list[Path]:
    """Draw noisy, every system and clean of some clips; return the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = sorted(pairs)[:: max(1, len(pairs) // number)][:number]
    pictures = []
    for clip in clips:
        paths = {"noisy": pairs[clip][0]}
        paths |= {
            n: r / f"enhanced_{test_set}" / f"{clip}.wav" for n, r in runs.items()
        }
        paths["clean"] = pairs[clip][1]
        audio, rate = {}, 0
        for name, path in paths.items():
            waveform, rate = soundfile.read(path)
            pesq = systems.get(name, {}).get(clip, {}).get("pesq", math.nan)
            audio[name if math.isnan(pesq) else f"{name}, PESQ {pesq:.2f}"] = waveform
        pictures.append(folder / f"{clip}.png")
        plot_spectrograms(audio, rate, pictures[-1], clip)
    return pictures


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Table of finished runs beside the noisy input, and pictures."
    )
    parser.add_argument("runs", nargs="+", type=Path, help="output folders")
    parser.add_argument("--data-folder", type=Path, required=True)
    parser.add_argument("--test-set", default="testset")
    parser.add_argument("--control", help="system whose difference to others to show")
    parser.add_argument("--pictures", type=Path, help="folder for spectrograms")
    parser.add_argument("--clips", type=int, default=3, help="clips to draw")
    options = parser.parse_args(arguments)

    runs = {}
    for run in options.runs:  # results/<system>/<seed>, or <system>
        runs[run.parent.name if run.name.isdigit() else run.name] = run
    if options.control and options.control not in runs:
        parser.error(f"--control {options.control}: the runs are {', '.join(runs)}")
    scores = {
        name: read_scores(run / f"scores_{options.test_set}.csv")
        for name, run in runs.items()
    }
    pairs = read_pairs(options.runs[0], options.data_folder)
    metrics = list(next(iter(next(iter(scores.values())).values())))
    systems = {"noisy": score_noisy(pairs, metrics), **scores}
    print(markdown_table(systems, options.control))
    if options.pictures:
        for picture in draw(
            pairs, systems, runs, options.test_set, options.pictures, options.clips
        ):
            print(picture)


if __name__ == "__main__":
    main()
