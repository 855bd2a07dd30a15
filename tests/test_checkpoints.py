import random

import numpy as np
import pytest
import torch

from speechbrain_mal.checkpoints import AtomicCheckpointer
from speechbrain_mal.training_state import TrainingState, seed_epoch


def test_failed_save_leaves_no_checkpoint(tmp_path, monkeypatch):
    model = torch.nn.Linear(1, 1)
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    first = checkpointer.save_checkpoint()

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="No space left"):
            checkpointer.save_checkpoint()
    assert [c.path for c in checkpointer.list_checkpoints()] == [first.path]
    checkpointer.save_checkpoint()
    assert len(list(tmp_path.iterdir())) == 2  # the remains are gone


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_random_state_survives(tmp_path):
    checkpointer = AtomicCheckpointer(tmp_path, {"state": TrainingState()})
    checkpointer.save_checkpoint(end_of_epoch=False)
    expected = draw()
    state = TrainingState()
    AtomicCheckpointer(tmp_path, {"state": state}).recover_if_possible()
    state.restore_random()
    assert draw() == expected
    state.restore_random()  # once only
    assert draw() != expected


def test_epoch_seeds():
    draws = []
    for seed, epoch in [(1, 1), (1, 2), (2, 1), (1, 1)]:
        seed_epoch(seed, epoch)
        draws.append(draw())
    assert draws[0] == draws[3]
    assert len(set(draws)) == 3


def test_means_survive_within_an_epoch_only(tmp_path):
    state = TrainingState()
    state.average({"loss": torch.tensor(1.0)})
    state.average({"loss": torch.tensor(3.0)})
    checkpointer = AtomicCheckpointer(tmp_path, {"state": state})
    for end_of_epoch, expected in [(False, {"loss": 2.0}), (True, {})]:
        checkpointer.save_checkpoint(end_of_epoch=end_of_epoch)
        other = TrainingState()
        AtomicCheckpointer(tmp_path, {"state": other}).recover_if_possible()
        assert other.pop_means() == expected
