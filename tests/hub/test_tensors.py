"""Weights come back as they were saved; `test_attempts.py` has what is refused."""

import pytest
import torch
from torch import nn

from speechbrain_mal.hub import tensors
from speechbrain_mal.hub.tensors import save_weights


def load_weights(module, path):
    with open(path, "rb") as file:
        tensors.load_weights(module, file, path)


def test_shared_weights_stay_shared(tmp_path):
    model = nn.ModuleList([nn.Linear(2, 2)] * 2)
    save_weights(model, tmp_path / "a.safetensors")
    other = nn.ModuleList([nn.Linear(2, 2)] * 2)
    load_weights(other, tmp_path / "a.safetensors")
    assert torch.equal(other[1].weight, model[0].weight)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_text("of yesterday")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_weights(nn.Linear(2, 3), path)
    assert path.read_text() == "of yesterday" and len(list(tmp_path.iterdir())) == 1
