"""The enhancer of a run's folder is the one that its test used."""

import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import SAMPLES
from recipe_run import finished_run

from speechbrain_mal import cli
from speechbrain_mal.checkpoints import run_checkpoints, selection
from speechbrain_mal.export.runs import enhancement_of, load_run, read_run
from speechbrain_mal.metrics import read_scores


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train, test and keep a baseline at toy size, as the recipe does."""
    folder = tmp_path_factory.mktemp("results") / "baseline" / "1234"
    scores = ["estoi", "si_sdr"]
    return finished_run(folder, number_of_epochs=2, test_metrics=scores)


def test_it_enhances_as_the_test_did(run):
    enhance = enhancement_of(run)
    for path in sorted((run / "enhanced_testset").iterdir()):
        noisy, rate = soundfile.read(
            SAMPLES / "noisy_testset_wav_16k" / f"{path.stem}.flac", dtype="float32"
        )
        expected, _ = soundfile.read(path, dtype="float32")
        # the file has 16 bits, a step of 3e-5
        assert np.abs(enhance(noisy, rate) - expected).max() < 4e-5
    with pytest.raises(ValueError, match="48000 Hz, and .* is of 16000 Hz"):
        enhance(noisy, 48000)


def test_it_builds_nothing_but_the_enhancer(run, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the loss was built")

    monkeypatch.setattr("speechbrain_mal.losses.WeightedLoss.__init__", refuse)
    model, rate = load_run(run)
    assert rate == 16000 and not model.training


def test_the_recipes_scores_are_those_of_the_command_line(run, tmp_path):
    out = tmp_path / "scores"
    command = ["evaluate", "--enhanced", str(run / "enhanced_testset"), "--jobs", "1"]
    command += ["--clean", str(SAMPLES / "clean_testset_wav_16k"), "-o", str(out)]
    assert cli.main([*command, "--metrics", "estoi", "si_sdr"]) == 0
    ours, theirs = (
        read_scores(path) for path in (run / "scores_testset.csv", out / "scores.csv")
    )
    assert set(ours) == set(theirs)
    for clip, row in ours.items():  # BLAS sums in another order from call to call
        assert theirs[clip] == pytest.approx(row, rel=1e-12)


def test_another_checkpoint_than_the_tested_one(run):
    for which in ("best", "last"):
        found = read_run(run, which)
        assert found.settings["test_from"] == which
        expected = run_checkpoints(run).find_checkpoint(
            **selection(which, found.settings["ckpt_metric"], ["si_sdr"])
        )
        assert found.checkpoint.path == expected.path
    assert read_run(run, "last").checkpoint.meta["epoch"] == 2
    weights = torch.load(found.checkpoint.path / "enhancer.ckpt", weights_only=True)
    loaded = load_run(run, "last")[0].state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in weights.items())


def test_other_folders_are_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="hyperparams.yaml does not exist"):
        load_run(tmp_path)
    (tmp_path / "hyperparams.yaml").write_text("model: {}\n")
    with pytest.raises(ValueError, match="has no 'system'"):
        load_run(tmp_path)
    shutil.copy(run / "hyperparams.yaml", tmp_path)
    with pytest.raises(ValueError, match="holds no checkpoint"):
        load_run(tmp_path)


def test_without_its_system_it_takes_a_word_of_trust(run, tmp_path):
    for name in ("hyperparams.yaml", "save"):
        (tmp_path / name).symlink_to(run / name)  # links are not followed
    with pytest.raises(ValueError, match="hyperparams.yaml: a link"):
        load_run(tmp_path)
    (tmp_path / "hyperparams.yaml").unlink()
    shutil.copy(run / "hyperparams.yaml", tmp_path)
    assert read_run(tmp_path).checkpoint.meta == read_run(run).checkpoint.meta
    with pytest.raises(ValueError, match="does not say how .* --trust, in Python"):
        load_run(tmp_path)
    ours, theirs = load_run(run)[0], load_run(tmp_path, trust=True)[0]
    weights = theirs.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in ours.state_dict().items())
