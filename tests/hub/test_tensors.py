"""Weights: strict, whole or absent, and never a pickle."""

import pickle

import pytest
import torch
from torch import nn

from speechbrain_mal.hub import tensors
from speechbrain_mal.hub.tensors import save_weights


def load_weights(module, path):
    with open(path, "rb") as file:
        tensors.load_weights(module, file, path)


def test_what_is_saved_is_loaded(small_model, tmp_path):
    save_weights(small_model, tmp_path / "a.safetensors")
    other = type(small_model)(16000, channels=8, embedding_size=32, df_hidden_size=32)
    load_weights(other, tmp_path / "a.safetensors")
    for name, weight in small_model.state_dict().items():
        assert torch.equal(other.state_dict()[name], weight), name
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_shared_weights_stay_shared(tmp_path):
    model = nn.ModuleList([nn.Linear(2, 2)] * 2)
    save_weights(model, tmp_path / "a.safetensors")
    other = nn.ModuleList([nn.Linear(2, 2)] * 2)
    load_weights(other, tmp_path / "a.safetensors")
    assert torch.equal(other[1].weight, model[0].weight)


class Bomb:
    def __reduce__(self):
        return (open, ("ran", "w"))


@pytest.mark.parametrize("make", ["pickle", "torch", "truncated", "empty", "text"])
def test_what_is_no_whole_file_is_refused(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "enhancer.safetensors"
    if make == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif make == "torch":
        torch.save(nn.Linear(2, 3).state_dict(), path)
    else:
        save_weights(nn.Linear(2, 3), path)
        content = path.read_bytes()
        path.write_bytes({"truncated": content[:-4], "empty": b""}.get(make, b"text"))
    with pytest.raises(ValueError, match=r"enhancer\.safetensors"):
        load_weights(nn.Linear(2, 3), path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 3, bias=False), "bias is not in the model"),
        (nn.Sequential(nn.Linear(2, 3)), "0.weight is missing"),
        (nn.Linear(3, 3), r"weight is \[3, 2\], and \[3, 3\] in"),
    ],
)
def test_another_models_weights_are_refused(model, message, tmp_path):
    save_weights(nn.Linear(2, 3), tmp_path / "a.safetensors")
    with pytest.raises(
        ValueError, match=f"a.safetensors holds another model's weights: .*{message}"
    ):
        load_weights(model, tmp_path / "a.safetensors")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_text("of yesterday")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_weights(nn.Linear(2, 3), path)
    assert path.read_text() == "of yesterday" and len(list(tmp_path.iterdir())) == 1
