"""An exported folder does what the run did, wherever it is taken."""

import importlib
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import SAMPLES
from hyperpyyaml import load_hyperpyyaml
from recipe_run import finished_run
from speechbrain.inference.enhancement import WaveformEnhancement
from tiny_networks import build_enhancer, enhancer_nodes

from speechbrain_mal import MALEnhancement, cli
from speechbrain_mal.export import export, load_run
from speechbrain_mal.hub import registry
from speechbrain_mal.hub.folder import config_of
from speechbrain_mal.hub.tensors import save_weights
from speechbrain_mal.hub.translate import enhancer_yaml, spec_of, yaml_of
from speechbrain_mal.system import write_system


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train and test a baseline at toy size, as the recipe does."""
    folder = tmp_path_factory.mktemp("results") / "baseline" / "1234"
    scores = ["estoi", "si_sdr"]
    return finished_run(folder, number_of_epochs=1, test_metrics=scores)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported") / "quiet"
    example = min((SAMPLES / "noisy_testset_wav_16k").iterdir())
    return export(run, output, "me/quiet", None, "Ours, CC0.", example=example)


def test_it_does_what_the_run_does_at_another_place(run, folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    loaded = MALEnhancement.from_hparams(moved)
    model, rate = load_run(run)
    assert loaded.sample_rate == rate
    noisy = 0.1 * torch.randn(1, 8000)
    with torch.no_grad():
        expected = model(noisy)
    # Folded layers sum in another order.
    torch.testing.assert_close(loaded.enhance_batch(noisy), expected, atol=1e-6, rtol=0)
    assert loaded.fingerprint() == MALEnhancement.from_hparams(moved).fingerprint()


def test_the_folder_is_whole_and_names_no_place_of_ours(run, folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "enhancer.safetensors",
        "example_enhanced.flac",
        "example_noisy.flac",
        "hyperparams.yaml",
    }
    for name in ("README.md", "config.json", "hyperparams.yaml"):
        text = (folder / name).read_text()
        assert str(run.parent.parent) not in text and str(SAMPLES) not in text
    config = json.loads((folder / "config.json").read_text())
    assert config["speechbrain_interface"] == "MALEnhancement"
    assert config["speechbrain_mal"]["speechbrain"].startswith("1.1.")


def test_the_card_states_what_was_measured(run, folder):
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    (entry,) = front["model-index"]
    values = {m["type"]: m["value"] for m in entry["results"][0]["metrics"]}
    with open(run / "scores_testset.csv") as file:
        scores = np.genfromtxt(file, delimiter=",", names=True)
    assert values["si_sdr"] == pytest.approx(scores["si_sdr"].mean(), abs=5e-4)
    assert f"| SI-SDR (dB) | {scores['si_sdr'].mean():.3f} |" in card
    assert "Ours, CC0." in card and "10.21437/Interspeech.2025-855" in card
    assert 'from_hparams("me/quiet")' in card


def test_the_example_is_the_models(folder):
    noisy, enhanced = (
        soundfile.read(folder / f"example_{kind}.flac", dtype="float32")[0]
        for kind in ("noisy", "enhanced")
    )
    expected = MALEnhancement.from_hparams(folder).enhance_batch(
        torch.from_numpy(noisy)[None]
    )
    # 16 bits, a step of 3e-5
    np.testing.assert_allclose(enhanced, expected[0].numpy(), atol=4e-5)


def test_scores_of_an_evaluation_bring_their_command(run, tmp_path):
    enhanced, clean = run / "enhanced_testset", SAMPLES / "clean_testset_wav_16k"
    command = ["evaluate", "--enhanced", str(enhanced), "--clean", str(clean)]
    command += ["--metrics", "si_sdr", "--jobs", "1", "-o", str(tmp_path / "scores")]
    assert cli.main(command) == 0
    export_command = ["export", str(run), str(tmp_path / "out")]
    for name in ("samples", "the same = again"):
        export_command += ["--scores", f"{name}={tmp_path / 'scores'}"]
    assert cli.main(export_command) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.count("speechbrain-mal evaluate --enhanced") == 1
    assert "| mean | samples | the same = again |" in card and "Not stated" in card
    (entry,) = yaml.safe_load(card.split("---")[1])["model-index"]
    sets = [result["dataset"]["name"] for result in entry["results"]]
    assert sets == ["samples", "the same = again"]
    with pytest.raises(ValueError, match="scores.json: not of a folder that"):
        export(run, tmp_path / "other", scores={"samples": run})
    with pytest.raises(SystemExit):
        cli.main(["export", str(run), str(tmp_path / "other"), "--scores", "samples"])
    assert not (tmp_path / "other").exists()


def test_own_scores_of_several_test_sets(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")  # as the DNS recipe leaves them
    (copy / "scores_other").mkdir()
    shutil.copy(run / "scores_testset.csv", copy / "scores_other" / "scores.csv")
    card = (export(copy, tmp_path / "out") / "README.md").read_text()
    assert "| mean | testset | other |" in card


def test_what_it_cannot_export_is_named_and_leaves_nothing(run, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="there exists"):
        export(run, tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="name the output folder"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="not a readable audio file"):
        export(run, tmp_path / "out", example=run / "hyperparams.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_absolute_paths_in_the_model_are_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / "hyperparams.yaml").read_text()
    (copy / "hyperparams.yaml").write_text(
        text.replace("embedding_size: ", "table: /home/me/table\n  embedding_size: ")
    )
    with pytest.raises(ValueError, match="takes the path /home/me/table"):
        export(copy, tmp_path / "out", trust=True)


def test_a_yaml_that_builds_less_than_the_run_is_found_out(run, tmp_path, monkeypatch):
    def zeroed(module, *_):
        for weight in module.parameters():
            weight.data.zero_()

    monkeypatch.setattr("speechbrain_mal.hub.folder.load_weights", zeroed)
    with pytest.raises(ValueError, match="differs from the run's"):
        export(run, tmp_path / "out")


def test_a_network_of_ones_own(run, tmp_path, monkeypatch):
    (tmp_path / "denoisers.py").write_text(
        "from speechbrain_mal.models import DeepFilterNet2\n"
        "class Denoiser(DeepFilterNet2):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / "hyperparams.yaml").read_text()
    new = "speechbrain_mal.models.DeepFilterNet2"
    (copy / "hyperparams.yaml").write_text(text.replace(new, "denoisers.Denoiser"))
    write_system(copy)
    with pytest.raises(ValueError, match="'denoisers.Denoiser' is not reg.* --trust"):
        export(copy, tmp_path / "out")
    folder = export(copy, tmp_path / "out", trust=True)
    assert "register_model" in (folder / "README.md").read_text()
    with pytest.raises(ValueError, match=r"model.class: 'denoisers.Denoiser' is not"):
        MALEnhancement.from_hparams(folder)
    noisy = 0.1 * torch.randn(1, 8000)
    stock = WaveformEnhancement.from_hparams(str(folder)).enhance_batch(noisy)
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    sizes = range(1, 100)
    registry.register_model(
        "denoisers.Denoiser",
        importlib.import_module("denoisers").Denoiser,
        {"sample_rate": registry.RATE, "channels": sizes}
        | {"embedding_size": sizes, "df_hidden_size": sizes},
    )
    again = export(copy, tmp_path / "again")
    for place in (folder, again):
        enhanced = MALEnhancement.from_hparams(place).enhance_batch(noisy)
        torch.testing.assert_close(enhanced, stock, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", enhancer_nodes())
def test_every_network_of_speechbrain_is_data(name, tmp_path):
    model = spec_of(enhancer_nodes()[name])
    settings = {"system": name, "sample_rate": 16000}
    config = json.dumps(config_of(model, settings, 1))
    (tmp_path / "config.json").write_text(config)
    trained = build_enhancer(name).eval()
    save_weights(trained, tmp_path / "enhancer.safetensors")
    again = load_hyperpyyaml(enhancer_yaml(yaml_of(model)))["enhancer"]
    assert {k: w.shape for k, w in again.state_dict().items()} == {
        k: w.shape for k, w in trained.state_dict().items()
    }
    noisy = 0.1 * torch.randn(1, 8000)
    enhanced = MALEnhancement.from_hparams(tmp_path).enhance_batch(noisy)
    with torch.no_grad():
        torch.testing.assert_close(enhanced, trained(noisy), atol=1e-6, rtol=0)
