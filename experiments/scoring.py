"""Enhancing and scoring with the runs of an experiment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.definition import NOISY, Experiment
from experiments.paths import RunPaths
from speechbrain_mal.export.runs import read_run
from speechbrain_mal.files import write_text
from speechbrain_mal.metrics import (
    Clip,
    clips_from_folders,
    clips_from_manifest,
    evaluate,
)


def clips_of(
    experiment: Experiment,
    place: RunPaths,
    run: Path,
    name: str,
    enhanced: Path | str = NOISY,
) -> list[Clip]:
    """Return the clips of a set.

    Arguments
    ---------
    experiment, place
        The experiment, and where it is done.
    run : Path
        Folder of a run, for the manifest.
    name : str
        Of the set.
    enhanced : path
        Folder of enhanced clips, or "noisy".

    Raises
    ------
    FileNotFoundError, ValueError
        When a folder or manifest is missing, empty, or not what it should be.
    """
    entry = experiment.sets[name]
    if "manifest" in entry:
        return clips_from_manifest(run / entry["manifest"], enhanced, place.data_folder)
    if enhanced == NOISY:
        enhanced = place.data_folder / entry["noisy"]
    return clips_from_folders(enhanced, place.data_folder / entry["clean"])


def score(
    experiment: Experiment,
    place: RunPaths,
    system: str,
    run: Path,
    name: str,
    product: Path,
    lock: int | None = None,
) -> dict[str, Any]:
    """Enhance a set with a run and score it; write a row a clip.

    Arguments
    ---------
    experiment, place, system
        What is scored, and where; "noisy" is the input as it is.
    run : Path
        Folder of the run.
    name : str
        Of the set.
    product : Path
        CSV file to write.
    lock : int, optional
        Of the step; not handed on.

    Returns
    -------
    dict
        Number of clips, and those that could not be scored.
    """
    progress = place.output / ".steps" / system / run.name / f"progress_{name}.jsonl"
    begun = progress.exists()  # so what this takes is not all it took
    enhanced: Path | str = NOISY
    if system != NOISY:
        left = experiment.sets[name].get("enhanced")
        enhanced = run / (left or f"enhanced_{name}")
        if not left:
            noisy = [c.enhanced for c in clips_of(experiment, place, run, name)]
            _enhance(run, noisy, enhanced, place, experiment.sets[name].get("epoch"))
    table = evaluate(
        clips_of(experiment, place, run, name, enhanced),
        experiment.metrics,
        experiment.metric_options,
        place.jobs,
        progress,
    )
    product.parent.mkdir(parents=True, exist_ok=True)
    write_text(product, table.csv())
    failures = [place.symbolic(failure) for failure in table.failures]
    return {
        **({"whole": False} if begun else {}),
        "clips": len(table.rows),
        "not_scored": failures,
    }


def _enhance(
    run: Path, noisy: list[Path], output: Path, place: RunPaths, epoch: str | None
) -> None:
    """Enhance files with the enhancer of a run; what is there already is kept."""
    from speechbrain_mal.export import load_run
    from speechbrain_mal.inference import MALEnhancement, enhance_files

    model, rate = load_run(run, epoch, trust=True)  # of our own training
    enhancer = MALEnhancement(
        {"enhancer": model}, {"sample_rate": rate}, run_opts={"device": place.device}
    )
    jobs = place.jobs if place.device == "cpu" else 1
    report = enhance_files(enhancer, noisy, output, jobs, ".wav", progressbar=False)
    if report.failures:
        raise ValueError("; ".join(report.failures.values()))


def iterate(
    experiment: Experiment,
    place: RunPaths,
    system: str,
    run: Path,
    product: Path,
    lock: int | None = None,
) -> dict[str, Any]:
    """Feed a run's enhancer its own output; write the means of every pass.

    Arguments
    ---------
    experiment, place, system, run, product, lock
        As of `score`.

    Returns
    -------
    dict
        Names of the clips.
    """
    from speechbrain_mal.analysis.self_consistency import (
        keeping_level,
        pass_rows,
        self_consistency,
    )

    what = experiment.self_consistency
    clips = clips_of(experiment, place, run, what["set"])
    clips = clips[:: max(1, len(clips) // what["clips"])][: what["clips"]]
    metrics = list(what["metrics"])
    enhance = _enhancement(run, place.device)
    # By epoch: passes that another checkpoint of the run made don't count.
    kind = str(read_run(run).checkpoint.meta["epoch"])
    if what.get("keep_level"):
        enhance, kind = keeping_level(enhance), f"{kind}_keep_level"
    folder = run / f"self_consistency_{kind}"
    by_pass = self_consistency(
        {system: enhance},
        {clip.name: clip.enhanced for clip in clips},
        {clip.name: clip.clean for clip in clips if clip.clean},
        what["passes"],
        metrics,
        folder,
        {k: v for k, v in experiment.metric_options.items() if k in metrics},
        place.jobs,
    )[system]
    product.parent.mkdir(parents=True, exist_ok=True)
    write_text(product, "\n".join(map(",".join, pass_rows(by_pass))) + "\n")
    return {"clips": [clip.name for clip in clips]}


def _enhancement(run: Path, device: str) -> Callable:
    """Return what a run does to a waveform, on a device."""
    import torch

    from speechbrain_mal.export import load_run

    # Of the recipe's data, so of the clips' sampling rate.
    model, _ = load_run(run, trust=True)
    model = model.to(device)

    @torch.inference_mode()
    def enhance(waveform, sample_rate):
        noisy = torch.from_numpy(waveform)[None].to(device)
        return model(noisy)[0].cpu().numpy()

    return enhance
