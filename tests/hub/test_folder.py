"""Folders of format 1 are converted, and none of their YAML is executed."""

import json
import os

import pytest
import torch
import yaml
from conftest import CONFIG, HYPERPARAMS

from speechbrain_mal import MALEnhancement, cli
from speechbrain_mal.hub.tensors import save_weights
from speechbrain_mal.hub.translate import convert


@pytest.fixture
def old(exported):
    """Return a folder as version 0.1 exported it."""
    text = HYPERPARAMS.replace("!ref <sample_rate>", "16000")
    (exported / "hyperparams.yaml").write_text(text)
    block = {"format": 1, "version": "0.1.0", "torch": "2.11.0", "system": "mal"}
    block |= {"speechbrain": "1.1.2", "sample_rate": 16000, "epoch": 3}
    config = {"speechbrain_interface": "MALEnhancement", "speechbrain_mal": block}
    (exported / "config.json").write_text(json.dumps(config))
    return exported


def test_converted_it_loads_as_before(old, small_model, capsys):
    text = (old / "hyperparams.yaml").read_text()
    with pytest.raises(ValueError, match="`speechbrain-mal convert .*` rewrites it"):
        MALEnhancement.from_hparams(old)
    assert cli.main(["convert", str(old)]) == 0
    assert capsys.readouterr().out == f"{old / 'config.json'}\n"
    noisy = 0.1 * torch.randn(1, 8000)
    enhanced = MALEnhancement.from_hparams(old).enhance_batch(noisy)
    with torch.no_grad():
        expected = small_model.eval()(noisy)
    torch.testing.assert_close(enhanced, expected, atol=1e-6, rtol=0)
    block = json.loads((old / "config.json").read_text())["speechbrain_mal"]
    assert block["format"] == 2 and block["torch"] == "2.11.0" and block["epoch"] == 3
    assert block["model"] == CONFIG["speechbrain_mal"]["model"]
    assert (old / "hyperparams.yaml").read_text() == text
    with pytest.raises(ValueError, match="of format 2 already"):
        convert(old)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("channels: !apply:os.mkdir [ran]", r"line 4: .*!apply:os\.mkdir"),
        ("channels: !!python/object/apply:os.mkdir [ran]", "line 4: no network in"),
        (
            "channels: (!!python/object/apply:os.mkdir [ran])",
            "channels: a whole number",
        ),
        ("channels: !ref <sample_rate>", "line 4: no network in plain values"),
        ("channels: [1, 2", "no YAML"),
        ("? [channels]\n    : 8", "has no names with values"),
        ("channels: !new:torch.nn.Sigmoid", "channels: a whole number"),
        ("table: !new:os.mkdir {path: ran}", "'table' is not one of its names"),
        ("channels: 1000000000", "channels: a whole number from 1 to 4096"),
    ],
)
def test_what_is_more_than_a_network_is_not_converted(
    old, line, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path, config = old / "hyperparams.yaml", (old / "config.json").read_text()
    path.write_text(path.read_text().replace("channels: 8", line))
    with pytest.raises(ValueError, match=f"hyperparams.yaml.*{message}"):
        convert(old)
    assert (old / "config.json").read_text() == config
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("rate", ["abc", "48000", "16000.0", "[16000]"])
def test_a_rate_that_is_none_is_not_converted(old, rate):
    path = old / "hyperparams.yaml"
    path.write_text(
        path.read_text().replace("sample_rate: 16000", f"sample_rate: {rate}", 1)
    )
    with pytest.raises(ValueError, match="sample_rate"):
        convert(old)
    assert (
        json.loads((old / "config.json").read_text())["speechbrain_mal"]["format"] == 1
    )


def test_links_in_its_way_are_not_written_through(old, tmp_path):
    for name in (f".config.json.{os.getpid()}.partial", "README.md"):
        (old / name).unlink(missing_ok=True)
        (old / name).symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("mine")
    convert(old)
    assert (tmp_path / "victim").read_text() == "mine"


def test_anothers_weights_are_found_out(old):
    save_weights(torch.nn.Linear(1, 1), old / "enhancer.safetensors")
    with pytest.raises(ValueError, match="another model's weights"):
        convert(old)


def test_yaml_in_rings_ends(old):
    path = old / "hyperparams.yaml"
    path.write_text("sample_rate: 16000\nenhancer: &a [*a]\n")
    with pytest.raises(ValueError, match="hyperparams.yaml"):
        convert(old)
    bombs = [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    bombs = ["a0: &a0 [1, 1]", *bombs, "sample_rate: 16000", "enhancer: *a59"]
    path.write_text("\n".join(bombs))
    assert yaml.compose(path.read_text(), yaml.SafeLoader)
    with pytest.raises(ValueError, match="hyperparams.yaml"):
        convert(old)
