"""An example is a function of (seed, epoch, number), whoever makes it, and when."""

import copy
import json
import pickle

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from torch.utils.data import DistributedSampler

from speechbrain_mal.data import Mixing, Sources, mixed_dataset

RATE = 16000
EXAMPLES = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Write files of 0.3 to 1.5 s, some at 48 kHz, and their manifests."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for kind in ("clean", "noise", "rir"):
        (root / kind).mkdir()
        entries = {}
        for i in range(8):
            name, rate = f"{kind}/{i}.wav", (RATE, 3 * RATE)[i % 2]
            samples = int((0.3 + 0.17 * i) * rate)
            signal = 0.1 * rng.standard_normal(samples)
            if kind == "rir":
                signal *= np.exp(-np.arange(samples) / (0.05 * rate))
            soundfile.write(root / name, signal, rate)
            entries[name] = {"samples": samples, "sample_rate": rate}
        (root / f"{kind}.json").write_text(json.dumps(entries))
    return root


def settings(**others):
    """Return settings in which everything happens to some mixtures."""
    chances = ("reverb", "clipping", "noise_clipping", "band_limit", "attenuation")
    some = {f"p_{name}": 0.5 for name in chances}
    return Mixing(seconds=0.5, sample_rate=RATE, **{**some, "noises": [1, 2], **others})


def make(corpus, mixing, examples=EXAMPLES):
    manifests = {kind: corpus / f"{kind}.json" for kind in ("clean", "noise", "rir")}
    return mixed_dataset(mixing, Sources(manifests, corpus, RATE), examples)


def collect(mixtures):
    """Return (noisy, clean) by id, of single mixtures or of batches."""
    found = {}
    for m in mixtures:
        if isinstance(m, PaddedBatch):
            parts = zip(m.id, m.noisy.data, m.clean.data, strict=True)
        else:
            parts = [(m["id"], m["noisy"], m["clean"])]
        for key, noisy, clean in parts:
            assert key not in found
            found[key] = torch.stack([noisy, clean])
    return found


def epoch(corpus, number, **others):
    """Return an epoch's mixtures, one after another in this process."""
    mixing = settings(**others)
    mixing.set_epoch(number)
    dataset = make(corpus, mixing)
    return collect(dataset[i] for i in range(len(dataset)))


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for key, mixture in expected.items():
        assert torch.equal(actual[key], mixture), key


def loader(dataset, **options):
    return SaveableDataLoader(dataset, batch_size=4, collate_fn=PaddedBatch, **options)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_makes_the_same(corpus, workers):
    mixing = settings()
    mixing.set_epoch(1)
    batches = loader(make(corpus, mixing), num_workers=workers)
    assert_same(collect(batches), epoch(corpus, 1))


def test_workers_that_persist_follow_the_epoch(corpus):
    mixing = settings()
    batches = loader(make(corpus, mixing), num_workers=2, persistent_workers=True)
    for number in (1, 2, 1):  # the last as after going back to a checkpoint
        mixing.set_epoch(number)
        assert_same(collect(batches), epoch(corpus, number))


def test_any_order_makes_the_same(corpus):
    mixing = settings()
    mixing.set_epoch(1)
    dataset = make(corpus, mixing)
    backwards = [dataset[i] for i in reversed(range(len(dataset)))]
    assert_same(collect(backwards), epoch(corpus, 1))
    assert_same(collect(loader(dataset, shuffle=True)), epoch(corpus, 1))


def test_processes_share_the_epoch_out(corpus):
    mixing = settings()
    mixing.set_epoch(1)
    found = {}
    for rank in range(3):
        dataset = make(corpus, mixing)
        sampler = DistributedSampler(dataset, num_replicas=3, rank=rank)
        part = collect(loader(dataset, sampler=sampler))
        assert not found.keys() & part.keys()
        found |= part
    assert_same(found, epoch(corpus, 1))


def test_a_part_of_the_epoch_is_the_same(corpus):
    mixing = settings()
    mixing.set_epoch(1)
    whole = epoch(corpus, 1)
    fewer = make(corpus, mixing, examples=5)
    first = dict(list(whole.items())[:5])
    assert_same(collect(fewer[i] for i in range(5)), first)
    chosen = make(corpus, mixing).filtered_sorted(
        key_test={"id": lambda key: key.endswith("3")}
    )
    threes = {key: mixture for key, mixture in whole.items() if key.endswith("3")}
    assert len(threes) == 3
    assert_same(collect(chosen[i] for i in range(len(chosen))), threes)


@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_a_copy_makes_the_same(corpus, copier):
    mixing = settings()
    mixing.set_epoch(1)
    dataset = copier(make(corpus, mixing))
    mixtures = collect(dataset[i] for i in range(len(dataset)))
    assert_same(mixtures, epoch(corpus, 1))


def test_torchs_and_numpys_random_state_play_no_part(corpus):
    torch.manual_seed(5)
    np.random.seed(5)
    first = epoch(corpus, 1)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.manual_seed(6)
    np.random.seed(6)
    assert_same(epoch(corpus, 1), first)
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])


@pytest.mark.parametrize("other", [{"number": 2}, {"number": 1, "seed": 1}])
def test_another_epoch_or_seed_makes_others(corpus, other):
    mixtures, others = epoch(corpus, 1), epoch(corpus, **other)
    for key, mixture in mixtures.items():
        assert not torch.equal(mixture, others[key])


def test_no_two_examples_are_alike(corpus):
    mixtures = [m for number in (1, 2) for m in epoch(corpus, number).values()]
    sums = {float(mixture.double().square().sum()) for mixture in mixtures}
    assert len(sums) == 2 * EXAMPLES


def test_the_probability_of_reverberation_changes_nothing_else(corpus):
    mixing = {p: settings(p_reverb=p, p_attenuation=0) for p in (0.0, 0.5, 1.0)}
    dry, some, wet = (epoch_of(corpus, mixing[p]) for p in (0.0, 0.5, 1.0))
    as_dry = [torch.equal(some[key], dry[key]) for key in dry]
    as_wet = [torch.equal(some[key], wet[key]) for key in dry]
    # Each mixture is either of the two: with and without it, all the rest is equal.
    assert all(a != b for a, b in zip(as_dry, as_wet, strict=True))
    assert 0 < sum(as_dry) < EXAMPLES


def epoch_of(corpus, mixing):
    dataset = make(corpus, mixing)
    return collect(dataset[i] for i in range(len(dataset)))


def test_without_an_epoch_validation_stays_the_same(corpus):
    dataset = make(corpus, settings())
    first, second = (collect(loader(dataset)) for _ in range(2))
    assert_same(second, first)


def test_items_are_float32_of_the_length(corpus):
    item = make(corpus, settings())[7]
    assert item["id"] == "mix0000007"
    for key in ("noisy", "clean"):
        assert item[key].dtype == torch.float32 and item[key].shape == (RATE // 2,)


def test_wrong_settings_are_errors(corpus):
    with pytest.raises(ValueError, match="examples is 0"):
        make(corpus, settings(), examples=0)
    mixing = Mixing(seconds=1, sample_rate=48000)
    with pytest.raises(ValueError, match="of 48000 Hz and the files are read at 16000"):
        make(corpus, mixing)
