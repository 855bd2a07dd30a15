"""RESULTS.md says what the scores say, and the same each time."""

import numpy as np
import pytest
import yaml
from conftest import ROOT
from made_scores import write_scores

from experiments.decisive import endpoints, words
from experiments.definition import read_experiment
from experiments.report import Report, filled, main
from speechbrain_mal.metrics.registry import columns

COLUMNS = columns(["pesq", "estoi", "si_sdr", "lsd", "mcd", "dnsmos", "nisqa"])
GAINS = {"noisy": -1.0, "baseline": 0.05, "continue": 0.0, "mal_frozen": 0.1}
GAINS |= {"mal_dynamic": 0.1, "mal_random": -0.1}


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """NISQA has the gains above, other scores none."""
    rng, runs = np.random.default_rng(0), {}
    for kind, name in (("first", "testset"), ("first", "oodset"), ("rerun", "testset")):
        base = rng.normal(3, 0.5, (30, len(COLUMNS)))
        for system, gain in GAINS.items():
            shifted = base + [gain * c.startswith("nisqa") for c in COLUMNS]
            for seed in ["input"] if system == "noisy" else ["1234", "1235", "1236"]:
                rows = shifted + 0.01 * rng.normal(size=base.shape)
                runs[f"{kind}/{name}/{system}/{seed}"] = rows
    return write_scores(tmp_path_factory.mktemp("scores"), runs, COLUMNS)


def report(scores, tmp_path):
    settings = yaml.safe_load((ROOT / "experiments/report.yaml").read_text())
    settings["columns"] = ["nisqa_mos", "pesq", "lsd"]
    settings["drawn"] = ["nisqa_mos", "pesq"]
    experiment = read_experiment(ROOT / "experiments/minibank.yaml")
    page, figures = tmp_path / "RESULTS.md", tmp_path / "figures"
    return Report(experiment, settings, scores, page, figures)


def test_a_page_follows_from_the_scores(scores, tmp_path):
    made = report(scores, tmp_path)
    page = made.text()

    def line(start):
        found = [x for x in page.splitlines() if x.startswith(f"| {start} |")]
        return found[0]

    assert "**same sign**" in line("mal-dynamic gains NISQA")
    assert "**not shown**" in line("mal-dynamic gains as much as in the paper")
    assert "**not shown**" in line("mal-dynamic is above mal-frozen")
    assert "**unmoved**" in line("PESQ does not move")
    assert "**no scores**" in line("WavLM gains less than mal-dynamic")
    assert "**opposite sign**" in line("the degenerate random encoder gains")
    table = page.split("### testset, first: gains over baseline")[1]
    assert "| continue | **-0.05" in table
    assert "(no scores)" in page  # prose on what is not there
    pictures = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert pictures == [
        *("gains_oodset_first.png", "gains_testset_first.png"),
        "gains_testset_rerun.png",
    ]
    for name in pictures:
        assert f"(figures/{name})" in page
        assert (tmp_path / "figures" / name).stat().st_size < 100_000  # committed
    made.write_gains(tmp_path / "gains.csv")
    rows = (tmp_path / "gains.csv").read_text().splitlines()
    # Rounds and sets, both references, four other systems, scores.
    assert len(rows) == 1 + 3 * 2 * 4 * 3


def test_figures_in_prose_are_computed(scores):
    text = "{mean first testset mal_dynamic continue nisqa_mos}, {seeds first\ntestset "
    text += "mal_dynamic continue nisqa_mos}, {validation first mal_random random}"
    mean, *seeds, record = filled(text, scores).split(", ")
    assert float(mean) == pytest.approx(np.mean([float(s) for s in seeds]), abs=1e-3)
    assert len(seeds) == 3 and record == "(no record)"


def test_a_better_loss_raises_both_scores_and_lowers_none(tmp_path):
    columns, rng = ["nisqa_mos", "distillmos", "dnsmos_bak", "estoi"], np.random
    rng = rng.default_rng(0)
    base = rng.normal(3, 0.5, (30, 4))
    gains = {"continue": [0, 0, 0, 0], "own": [0.2, 0.2, 0, 0]}
    gains |= {"random": [0.2, 0.0, 0, 0], "larger": [0.2, 0.2, -0.2, 0]}
    gains |= {"filterbank": [0.2, 0.2, 0, -0.02], "other_seed": [0.03, 0.2, 0, 0]}
    runs = {
        f"decisive/testset/{system}/{seed}": base
        + shift
        + 0.004 * rng.normal(size=(30, 4))
        for system, shift in gains.items()
        for seed in (1, 2, 3)
    }
    scores = write_scores(tmp_path, runs, columns)
    experiment = read_experiment(ROOT / "experiments/decisive.yaml")
    minimum = dict.fromkeys(columns, 0.05) | {"estoi": 0.01}
    found = endpoints(experiment, scores, "testset", minimum)
    better = [system for system, (word, _) in found.items() if word == "better loss"]
    assert better == ["own"] and len(found) == len(gains) - 1


def test_word_errors_are_those_of_all_words(tmp_path):
    said = np.repeat([[2.0], [18.0]], 5, axis=0)  # 100 words
    errors = said < 3
    runs = {
        f"decisive/testset_words/{system}": np.hstack([100 * wrong / said, said])
        for system, wrong in (
            ("noisy/input", 25 * errors),
            ("continue/1", errors),
            ("own/1", 0 * errors),
        )
    }
    scores = write_scores(tmp_path, runs, ["wer", "wer_words"])
    _, table = words(read_experiment(ROOT / "experiments/decisive.yaml"), scores)
    rows = [[x.strip() for x in row.split("|")[1:4]] for row in table.splitlines()]
    assert rows[2:] == [
        ["noisy", "", "10.0"],  # at most all words of a clip
        ["continue", "1", "5.0"],
        ["own", "1", "0.0"],
    ]
    assert "+5.000 [" in table.splitlines()[-1]  # fewer errors are a gain


def test_an_error_names_the_file(tmp_path, monkeypatch, capsys):
    command = ["experiments.report", "--scores", str(tmp_path), "--output"]
    monkeypatch.setattr("sys.argv", [*command, str(tmp_path / "page.md")])
    assert main() == 1 and "clips.csv" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()
