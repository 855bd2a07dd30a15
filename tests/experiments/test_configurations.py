"""The experiments that are in the repository can be read, and what they name exists."""

from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from experiments.claims import Claim
from experiments.definition import chosen, read_experiment
from experiments.rerun import rerun_name
from experiments.training import recipe_flags
from speechbrain_mal.metrics.registry import HEADINGS

FOLDER = ROOT / "experiments"


@pytest.mark.parametrize("name", ["minibank", "sweep", "last_epoch"])
def test_recipes_take_every_setting(name):
    experiment = read_experiment(FOLDER / f"{name}.yaml")
    recipe = ROOT / experiment.recipe
    keys = yaml.compose((recipe / "hparams" / "train.yaml").read_text()).value
    known = {key.value for key, _ in keys}
    for system in experiment.systems.values():
        overrides = recipe_flags(system.recipe, ROOT, recipe)
        overrides |= experiment.overrides(system, 1)
        assert set(overrides) <= known, system.name
        assert system.needs is None or system.needs in known
        assert Path(overrides.get("loss_file", recipe)).exists()
    with pytest.raises(ValueError, match="has no 'other'"):
        recipe_flags("other", ROOT, recipe)


@pytest.mark.parametrize("name", ["sweep", "last_epoch"])
def test_runs_of_the_table_are_used_again(name):
    table, other = (read_experiment(FOLDER / f"{n}.yaml") for n in ("minibank", name))
    shared = table.systems.keys() & other.systems.keys()
    assert len(shared) > 5
    for system in shared:
        runs = [e.overrides(e.systems[system], 1) for e in (table, other)]
        assert runs[0] == runs[1], system


def test_a_set_with_an_unknown_epoch_or_key_is_an_error(tmp_path):
    text = (FOLDER / "last_epoch.yaml").read_text()
    path = tmp_path / "other.yaml"
    path.write_text(text.replace("epoch: last", "epoch: first"))
    with pytest.raises(ValueError, match="testset_last: epoch is 'first'; it is"):
        read_experiment(path)
    path.write_text(text.replace("epoch: last", "epochs: last"))
    with pytest.raises(ValueError, match="testset_last: has unknown epochs"):
        read_experiment(path)


def test_the_report_names_systems_sets_and_scores_that_exist():
    settings = yaml.safe_load((FOLDER / "report.yaml").read_text())
    experiment = read_experiment(FOLDER / settings["experiment"])
    for entry in settings["claims"] + settings["controls"]:
        claim = Claim(**entry)
        assert claim.system in experiment.systems
        assert claim.against in ("", *experiment.systems)
        sets = {*experiment.sets, *map(rerun_name, experiment.sets)}
        assert {claim.set, claim.other_set} - {""} <= sets
        assert claim.column in HEADINGS
    columns = [c for table in settings["tables"] for c in table["columns"]]
    columns += settings["differences"]
    columns += settings["last_epoch"]["columns"] + settings["rerun"]["columns"]
    assert set(columns) <= set(HEADINGS)
    for name in settings["paper"]["systems"].values():
        assert set(settings["paper"]["columns"]) == set(
            settings["paper"]["scores"][name]
        )
    sweep = read_experiment(FOLDER / settings["sweep"]["experiment"])
    assert settings["sweep"]["set"] in sweep.sets
    assert list(sweep.sets) == ["validset"]  # the choice is made on nothing else


def test_sweep_shares_the_baselines_of_the_table():
    table = read_experiment(FOLDER / "minibank.yaml")
    sweep = read_experiment(FOLDER / "sweep.yaml")
    for name in ("baseline", "continue", "mal_dynamic"):
        one = table.overrides(table.systems[name], 1234)
        assert one == sweep.overrides(sweep.systems[name], 1234)


def test_what_is_left_out_and_what_only_runs_when_named():
    experiment = read_experiment(FOLDER / "minibank.yaml")
    systems, seeds, skipped = chosen(experiment, [], {})
    assert seeds == [1234, 1235, 1236]
    assert set(skipped) == {"cdpam", "wavlm", "wavlm_fe", "wavlm_mal"}
    assert len(systems) == len(experiment.systems) - 4
    systems, seeds, _ = chosen(experiment, ["1235", "cdpam"], {})
    assert [s.name for s in systems] == ["cdpam"] and seeds == [1235]
    with pytest.raises(ValueError, match="wavlm needs --wavlm_source"):
        chosen(experiment, ["wavlm"], {})
    with pytest.raises(ValueError, match="--only mal: it is neither"):
        chosen(experiment, ["mal"], {})


def test_errors_name_file_and_key(tmp_path):
    path = tmp_path / "e.yaml"
    text = (FOLDER / "minibank.yaml").read_text()
    path.write_text(text.replace("phase_two:", "phase_too:"))
    with pytest.raises(ValueError, match=r"e.yaml: lacks phase_two"):
        read_experiment(path)
    path.write_text(text.replace("control: continue", "control: other"))
    with pytest.raises(ValueError, match="control is 'other', none of systems"):
        read_experiment(path)
    path.write_text(text.replace("{when_named: True}", "{only: True}"))
    with pytest.raises(ValueError, match="systems: cdpam: has unknown only"):
        read_experiment(path)
