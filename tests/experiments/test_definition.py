"""The experiment of the repository can be read, and what it names exists."""

import pytest
import yaml
from conftest import ROOT

from experiments.claims import Claim
from experiments.definition import choose, read_experiment
from speechbrain_mal.metrics.registry import HEADINGS

FOLDER = ROOT / "experiments"


@pytest.fixture(scope="module")
def minibank():
    return read_experiment(FOLDER / "minibank.yaml")


@pytest.mark.parametrize("name", ["minibank", "decisive"])
def test_the_recipe_takes_every_flag(name):
    experiment = read_experiment(FOLDER / f"{name}.yaml")
    recipe = ROOT / experiment.recipe
    keys = yaml.compose((recipe / "hparams" / "train.yaml").read_text()).value
    known = {key.value for key, _ in keys}
    for system in experiment.systems.keys() - experiment.remix.keys():
        flags = experiment.flags(system, 1234)
        assert set(flags) <= known, system
        assert (recipe / flags.get("loss_file", "")).exists()
    assert set(experiment.needs.values()) <= known


def test_a_system_borrows_the_baseline_of_another_seed():
    decisive = read_experiment(FOLDER / "decisive.yaml")
    flags = decisive.flags("other_seed", 1234)
    assert flags["network_source"] == "$OUTPUT/baseline/1235"
    assert decisive.baselines("other_seed", 1234) == [1234, 1235]
    assert decisive.baselines("own", 1234) == [1234]
    start = decisive.flags("baseline", 1236)["baseline_folder"]
    assert (ROOT / start / "save").is_dir() and decisive.baselines("baseline", 1) == []


def test_the_report_names_systems_sets_and_scores_that_exist(minibank):
    settings = yaml.safe_load((FOLDER / "report.yaml").read_text())
    for entry in settings["claims"] + settings["questions"]:
        claim = Claim(**entry)
        assert claim.system in minibank.systems
        assert claim.against in ("", *minibank.systems)
        assert claim.set in minibank.sets
        assert claim.column in settings["minimum"]
    columns = {c for table in settings["tables"] for c in table} | set(
        settings["columns"]
    )
    assert columns | set(settings["last_epoch"]) <= set(HEADINGS)
    assert set(settings["columns"]) <= set(settings["minimum"])
    paper = settings["paper"]
    for name in paper["systems"].values():
        assert set(paper["columns"]) == set(paper["scores"][name])
    assert settings["sweep"]["default"] in minibank.sets["validset"].systems


def test_what_is_left_out_and_what_only_runs_when_named(minibank):
    found = choose(minibank, [], {})
    assert found.seeds == [1234, 1235, 1236] and found.sets == list(minibank.sets)
    assert set(found.left_out) == {"cdpam", "wavlm", "wavlm_fe", "wavlm_mal"}
    in_sets = {name for entry in minibank.sets.values() for name in entry.systems}
    assert set(found.systems) == in_sets - {*found.left_out}
    found = choose(minibank, ["1235", "cdpam"], {})
    assert found.systems == ["cdpam"] and found.seeds == [1235]
    found = choose(minibank, ["testset_last"], {})
    assert found.systems == minibank.sets["testset_last"].systems
    with pytest.raises(ValueError, match="wavlm needs --network_source"):
        choose(minibank, ["wavlm"], {})
    with pytest.raises(ValueError, match="--only mal names none of the seeds: 1234"):
        choose(minibank, ["mal"], {})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "phase_two:",
            "phase_too:",
            "unexpected .* 'phase_too'.* keys are recipe",
        ),
        ("control: continue", "control: other", "control: 'other' is no system of"),
        ("- filterbank", "- filterbunk", "'filterbunk' is no system"),
        ("epoch: last", "epoch: first", "testset_last: epoch is .* not 'first'"),
        ("epoch: last", "epochs: last", "testset_last: .*unexpected .* 'epochs'"),
    ],
)
def test_errors_name_file_and_key(tmp_path, before, after, message):
    text = (FOLDER / "minibank.yaml").read_text()
    (tmp_path / "e.yaml").write_text(text.replace(before, after))
    table = (FOLDER / "systems.yaml").read_text()
    (tmp_path / "systems.yaml").write_text(table)
    with pytest.raises(ValueError, match=f"e.yaml: .*{message}"):
        read_experiment(tmp_path / "e.yaml")
