import random

import numpy as np
import pytest
import torch
from speechbrain.utils.epoch_loop import EpochCounter

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


@pytest.mark.parametrize("damage", ["cut", "garbled", "empty"])
@pytest.mark.parametrize("name", ["model.ckpt", "counter.ckpt", "CKPT.yaml"])
def test_of_a_damaged_checkpoint_the_one_before_is_taken(
    tmp_path, name, damage, caplog
):
    model, counter = torch.nn.Linear(100, 1), EpochCounter(9)
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model, "counter": counter})
    for number in (1, 2, 3):
        torch.nn.init.constant_(model.weight, number)
        counter.current = number
        newest = checkpointer.save_checkpoint(meta={"number": number})
    path = newest.path / name
    data = path.read_bytes()
    size = {"cut": len(data) // 3, "empty": 0}.get(damage, len(data))
    path.write_bytes(b"\x00\xff{" * (size // 3) if damage == "garbled" else data[:size])
    recovered = checkpointer.recover_if_possible(max_key="number")
    assert recovered.meta["number"] == 2
    assert (model.weight == 2).all() and counter.current == 2
    assert newest.path.name in caplog.text and "left out" in caplog.text


def test_what_fits_no_checkpoint_is_an_error(tmp_path):
    AtomicCheckpointer(tmp_path, {"m": torch.nn.Linear(1, 1)}).save_checkpoint()
    with pytest.raises(RuntimeError, match="size mismatch"):
        other = {"m": torch.nn.Linear(2, 1)}
        AtomicCheckpointer(tmp_path, other).recover_if_possible()


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
