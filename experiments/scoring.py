"""Enhancing and scoring with the runs of an experiment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from experiments.definition import NOISY, ScoredSet, SelfConsistency
from experiments.machine import Machine
from speechbrain_mal.analysis.self_consistency import (
    keeping_level,
    pass_rows,
    self_consistency,
)
from speechbrain_mal.export import load_run
from speechbrain_mal.export.runs import read_run
from speechbrain_mal.files import write_text
from speechbrain_mal.inference import MALEnhancement, enhance_files
from speechbrain_mal.metrics import (
    Clip,
    clips_from_folders,
    clips_from_manifest,
    evaluate,
)


def _clips(
    entry: ScoredSet, machine: Machine, run: Path, enhanced: Path | str = NOISY
) -> list[Clip]:
    """Return the clips of a set; `enhanced` is their folder, or "noisy"."""
    if entry.manifest:
        clips = clips_from_manifest(run / entry.manifest, enhanced, machine.data_folder)
    else:
        if enhanced == NOISY:
            enhanced = machine.data_folder / entry.noisy
        clips = clips_from_folders(enhanced, machine.data_folder / entry.clean)
    return clips[:: entry.every]


def score(
    entry: ScoredSet,
    machine: Machine,
    name: str,
    system: str,
    run: Path,
    product: Path,
    atten_lim_db: float | None = None,
) -> dict[str, Any]:
    """Enhance a set with a run and score it; write a row a clip."""
    progress = machine.output / ".steps" / system / run.name / f"progress_{name}.jsonl"
    begun = progress.exists()  # so what this takes is not all it took
    enhanced: Path | str = NOISY
    if system != NOISY and entry.enhanced and not atten_lim_db:
        enhanced = run / entry.enhanced
    elif system != NOISY:
        enhanced = machine.run(system, run.name) / f"enhanced_{name}"
        noisy = [clip.enhanced for clip in _clips(entry, machine, run)]
        _enhance(machine, run, entry.epoch, noisy, enhanced, atten_lim_db)
    clips = _clips(entry, machine, run, enhanced)
    options = machine.options_of(entry.metrics)
    table = evaluate(clips, entry.metrics, options, machine.jobs, progress)
    product.parent.mkdir(parents=True, exist_ok=True)
    write_text(product, table.csv())
    return {
        **({"whole": False} if begun else {}),
        "clips": len(table.rows),
        "not_scored": [machine.symbolic(failure) for failure in table.failures],
    }


def _enhance(
    machine: Machine,
    run: Path,
    epoch: str | None,
    noisy: list[Path],
    output: Path,
    atten_lim_db: float | None,
) -> None:
    """Enhance files with the enhancer of a run; what is there already is kept."""
    model, rate = load_run(run, epoch)
    enhancer = MALEnhancement(
        {"enhancer": model}, {"sample_rate": rate}, run_opts={"device": machine.device}
    )
    report = enhance_files(
        enhancer,
        noisy,
        output,
        machine.jobs if machine.device == "cpu" else 1,
        ".wav",
        progressbar=False,
        atten_lim_db=atten_lim_db,
    )
    if report.failures:
        raise ValueError("; ".join(report.failures.values()))


def iterate(
    what: SelfConsistency,
    entry: ScoredSet,
    machine: Machine,
    system: str,
    run: Path,
    product: Path,
) -> dict[str, Any]:
    """Feed a run's enhancer its own output; write the means of every pass."""
    clips = _clips(entry, machine, run)
    clips = clips[:: max(1, len(clips) // what.clips)][: what.clips]
    enhance = _enhancement(run, machine.device)
    # By epoch: passes that another checkpoint of the run made don't count.
    kind = str(read_run(run).checkpoint.meta["epoch"])
    if what.keep_level:
        enhance, kind = keeping_level(enhance), f"{kind}_keep_level"
    by_pass = self_consistency(
        {system: enhance},
        {clip.name: clip.enhanced for clip in clips},
        {clip.name: clip.clean for clip in clips if clip.clean},
        what.passes,
        what.metrics,
        run / f"self_consistency_{kind}",
        machine.options_of(what.metrics),
        machine.jobs,
    )[system]
    product.parent.mkdir(parents=True, exist_ok=True)
    write_text(product, "\n".join(map(",".join, pass_rows(by_pass))) + "\n")
    return {"clips": [clip.name for clip in clips]}


def _enhancement(run: Path, device: str) -> Callable:
    """Return what a run does to a waveform of its own sampling rate, on a device."""
    model, _ = load_run(run)
    model = model.to(device)

    @torch.inference_mode()
    def enhance(waveform, sample_rate):
        noisy = torch.from_numpy(waveform)[None].to(device)
        return model(noisy)[0].cpu().numpy()

    return enhance
