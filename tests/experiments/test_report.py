"""RESULTS.md says what the scores say, and the same each time."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from conftest import ROOT

from experiments.definition import read_experiment
from experiments.page import write_results
from speechbrain_mal.metrics.registry import columns

COLUMNS = columns(["pesq", "estoi", "si_sdr", "lsd", "mcd", "dnsmos", "nisqa"])
GAINS = {
    "noisy": -1.0,
    "baseline": -0.05,
    "continue": 0.0,
    "mal_frozen": 0.1,
    "mal_dynamic": 0.1,
    "mal_random": -0.1,
    "mse_feature": 0.1,
}


@pytest.fixture
def results(tmp_path):
    """NISQA has the gains above, other scores none; mal_frozen lacks a seed."""
    rng = np.random.default_rng(0)
    for name in ("testset", "oodset"):
        base = rng.normal(3, 0.5, (30, len(COLUMNS)))
        for system, gain in GAINS.items():
            seeds = ["1234", "1235", "1236"]
            if system == "noisy":
                seeds = ["input"]
            if system == "mal_frozen":
                seeds = seeds[:2]
            for seed in seeds:
                shift = [gain * c.startswith("nisqa") for c in COLUMNS]
                rows = base + shift + 0.01 * rng.normal(size=base.shape)
                path = tmp_path / "results" / name / system / f"{seed}.csv"
                path.parent.mkdir(parents=True, exist_ok=True)
                lines = [",".join(["clip", *COLUMNS])]
                lines += [f"c{i},{','.join(map(str, r))}" for i, r in enumerate(rows)]
                path.write_text("\n".join(lines) + "\n")
    return tmp_path / "results"


def report(results, output, rerun=None):
    folder = ROOT / "experiments"
    settings = yaml.safe_load((folder / "report.yaml").read_text())
    experiment, *further = (
        read_experiment(folder / entry["experiment"])
        for entry in (settings, settings["sweep"], settings["last_epoch"])
    )
    page = output / "RESULTS.md"
    further.append(rerun)
    write_results(experiment, settings, results, page, output / "figures", *further)
    return page.read_text(encoding="utf-8")


def line(page, *starts):
    found = [x for x in page.splitlines() if x.startswith(starts)]
    assert len(found) == 1, found
    return found[0]


def test_verdicts_follow_from_the_scores(results, tmp_path):
    page = report(results, tmp_path)
    held = line(page, "| mal-dynamic gains NISQA |")
    assert "**reproduced**" in held and "3 of 3 seeds" in held
    assert "**not reproduced**" in line(page, "| mal-dynamic gains as much")
    assert "**not reproduced**" in line(page, "| mal-dynamic is above mal-frozen |")
    assert "**reproduced**" in line(page, "| PESQ does not move |")
    assert "**not reproduced**" in line(page, "| LSD improves |")
    assert "**not testable here**" in line(page, "| WavLM gains less")
    assert "**Yes**" in line(page, "* Does it matter that the encoder was trained?")
    assert "**No, the opposite**" in line(page, "* Does a random encoder gain?")
    assert "**Not shown**" in line(page, "* Does the absolute distance do more")
    # What is missing is said to be.
    assert "| mal_frozen | missing 1236 | missing 1236 |" in page
    assert "| mal_frozen | 2 of 3 |" in page
    everything = "missing 1234, 1235, 1236"
    assert f"| wavlm | {everything} | {everything} |" in page
    assert "No scores: mal_frozen, " in page  # of the sweep
    # The scores changed: so do the verdicts.
    for path in (results / "testset" / "mal_dynamic").iterdir():
        path.write_text((results / "testset" / "mal_random" / path.name).read_text())
    page = report(results, tmp_path)
    changed = line(page, "| mal-dynamic gains NISQA |")
    assert "**not reproduced**: the opposite holds" in changed


def test_a_rerun_is_held_to_the_intervals_and_compared_with_its_own_control(
    results, tmp_path
):
    rerun = tmp_path / "rerun"
    for system, source in (("continue", "continue"), ("distillmos", "mal_random")):
        for seed in ("1234", "1235"):
            path = rerun / "testset" / system / f"{seed}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((results / "testset" / source / path.name).read_text())
    page = report(results, tmp_path, rerun)
    section = page.split("## The same seeds, trained again")[1].split("\n## ")[0]
    row = line(section, "| continue, 1234 |").split("|")[2]
    first, again = row.split("/")
    assert first.strip() == again.strip()
    assert "| distillmos, 1234 |" not in section  # has no first training
    assert "10 of 10 means lie within the interval." in section
    overview, intervals = (
        row for row in section.splitlines() if row.startswith("| distillmos | **-0.")
    )
    assert "(2/2)" in overview and "< 0.001" in intervals
    answer = line(page, "* Does Distill-MOS as the loss gain?")
    assert "**No, the opposite**" in answer and "testset, rerun" in answer
    # Another control in the first training changes nothing; one elsewhere is marked.
    for path in (results / "testset" / "continue").iterdir():
        path.write_text((results / "testset" / "noisy" / "input.csv").read_text())
    changed = report(results, tmp_path, rerun)
    assert line(changed, "* Does Distill-MOS as the loss gain?") == answer
    assert "/ **" in line(changed, "| continue, 1234 |").split("|")[2]


def test_the_same_scores_give_the_same_page_and_pictures(results, tmp_path):
    pages = [report(results, tmp_path / name) for name in ("one", "two")]
    assert pages[0] == pages[1]
    pictures = sorted((tmp_path / "one" / "figures").iterdir())
    assert [p.name for p in pictures] == [
        "differences_oodset.png",
        "differences_testset.png",
    ]
    for picture in pictures:
        other = tmp_path / "two" / "figures" / picture.name
        assert picture.read_bytes() == other.read_bytes()
        assert picture.stat().st_size < 100_000  # they are committed
        assert f"(figures/{picture.name})" in pages[0]


def test_nothing_to_report(tmp_path):
    command = [sys.executable, "-m", "experiments.report"]
    command += ["--results", tmp_path / "none", "--output", tmp_path / "RESULTS.md"]
    command += ["--rerun", tmp_path / "none"]
    command += ["--figures", tmp_path / "figures"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "* **reproduced** (0): none." in page
    assert "No run is recorded." in page


def test_the_committed_page_is_what_the_committed_scores_say(tmp_path):
    folder = ROOT / "experiments" / "scores"
    page = report(folder / "first", tmp_path, folder / "rerun")
    committed = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    figures = f"({(tmp_path / 'figures').relative_to(tmp_path)}/"
    assert page.replace(figures, "(experiments/figures/") == committed
