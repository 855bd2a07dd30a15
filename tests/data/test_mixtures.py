"""An example is a function of (seed, epoch, number), whoever makes it, and when.

And where a file can't be read: another mixture stands in, it is named, and counted.
"""

import copy
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from dns_tree import write
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from torch.utils.data import DistributedSampler

from speechbrain_mal.data import Mixing, SkippedFiles, mixed_dataset
from speechbrain_mal.data.shared import TooManySkippedError

RATE = 16000
FILES = 8
EXAMPLES = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Write files of 0.3 to 1.5 s, some at 48 kHz, and their manifests."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for kind in ("clean", "noise", "rir"):
        entries = {}
        for i in range(FILES):
            name, rate = f"{kind}/{i}.wav", (RATE, 3 * RATE)[i % 2]
            samples = int((0.3 + 0.17 * i) * rate)
            signal = 0.1 * rng.standard_normal(samples)
            if kind == "rir":
                signal *= np.exp(-np.arange(samples) / (0.05 * rate))
            write(root / name, signal, rate)
            entries[name] = {"samples": samples, "sample_rate": rate}
        (root / f"{kind}.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def damaged(corpus, tmp_path):
    """Return a copy of the corpus, to be spoilt."""
    return shutil.copytree(corpus, tmp_path / "corpus")


def settings(epoch=1, **others):
    """Return settings in which everything happens to some mixtures."""
    chances = "reverb clipping noise_clipping band_limit attenuation offset".split()
    some = {f"p_{name}": 0.5 for name in chances}
    mixing = Mixing(
        seconds=0.5, sample_rate=RATE, **{**some, "noises": [1, 2], **others}
    )
    mixing.set_epoch(epoch)
    return mixing


def make(corpus, mixing, examples=EXAMPLES, skipped=None):
    manifests = {kind: corpus / f"{kind}.json" for kind in ("clean", "noise", "rir")}
    return mixed_dataset(mixing, manifests, corpus, examples, skipped)


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


def one_by_one(dataset):
    return collect(dataset[i] for i in range(len(dataset)))


@pytest.fixture(scope="module")
def first_epoch(corpus):
    return one_by_one(make(corpus, settings()))


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for key, mixture in expected.items():
        assert torch.equal(actual[key], mixture), key


def loader(dataset, **options):
    return SaveableDataLoader(dataset, batch_size=4, collate_fn=PaddedBatch, **options)


def with_random_state(dataset):
    """Seed torch and numpy, and see that neither was asked."""
    torch.manual_seed(5)
    np.random.seed(5)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    yield from (dataset[i] for i in range(EXAMPLES))
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])


def in_processes(dataset):
    for rank in range(3):
        sampler = DistributedSampler(dataset, num_replicas=3, rank=rank)
        yield from loader(dataset, sampler=sampler)


WAYS = {
    "loader": loader,
    "one worker": lambda dataset: loader(dataset, num_workers=1),
    "two workers": lambda dataset: loader(dataset, num_workers=2),
    "backwards": lambda dataset: [dataset[i] for i in reversed(range(EXAMPLES))],
    "shuffled": lambda dataset: loader(dataset, shuffle=True),
    "three processes": in_processes,
    "a copy": lambda dataset: loader(copy.deepcopy(dataset)),
    "a pickle": lambda dataset: loader(pickle.loads(pickle.dumps(dataset))),
    "random state": with_random_state,
}


@pytest.mark.parametrize("way", WAYS)
def test_an_epoch_is_the_same_in_whatever_way(corpus, first_epoch, way):
    assert_same(collect(WAYS[way](make(corpus, settings()))), first_epoch)


def test_workers_that_persist_follow_the_epoch(corpus, first_epoch):
    mixing = settings()
    dataset = make(corpus, mixing)
    batches = loader(dataset, num_workers=2, persistent_workers=True)
    for number in (1, 2, 1):  # the last as after going back to a checkpoint
        mixing.set_epoch(number)
        assert_same(collect(batches), one_by_one(dataset))
    assert_same(one_by_one(dataset), first_epoch)


def test_a_part_of_the_epoch_is_the_same(corpus, first_epoch):
    fewer = make(corpus, settings(), examples=5)
    assert_same(one_by_one(fewer), dict(list(first_epoch.items())[:5]))
    mixing = settings(epoch=0)
    chosen = make(corpus, mixing).filtered_sorted(
        key_test={"id": lambda key: key.endswith("3")}
    )
    mixing.set_epoch(1)  # the part follows
    threes = {key: m for key, m in first_epoch.items() if key.endswith("3")}
    assert len(threes) == 3
    assert_same(one_by_one(chosen), threes)


def test_another_epoch_or_seed_makes_others_and_no_two_are_alike(corpus, first_epoch):
    every = [first_epoch]
    for other in ({"epoch": 2}, {"epoch": 1, "seed": 1}):
        every.append(one_by_one(make(corpus, settings(**other))))
    sums = {float(m.double().square().sum()) for part in every for m in part.values()}
    assert len(sums) == 3 * EXAMPLES


def test_examples_are_numbered_and_there_is_one_at_least(corpus, first_epoch):
    assert list(first_epoch) == [f"mix{i:07d}" for i in range(EXAMPLES)]
    for mixture in first_epoch.values():
        assert mixture.dtype == torch.float32 and mixture.shape == (2, RATE // 2)
    with pytest.raises(ValueError, match="examples is 0"):
        make(corpus, settings(), examples=0)


# Files that can't be read


PLAIN = {f"p_{name}": 0 for name in ("reverb", "clipping", "band_limit", "offset")}


def remove(path):
    path.unlink()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:100])


def some(corpus, skipped=None, examples=32):
    """Return a dataset in which every second of speech is equally likely."""
    return make(corpus, settings(noises=1, **PLAIN), examples, skipped)


@pytest.mark.parametrize("damage", [remove, cut_off])
def test_another_mixture_stands_in_and_the_rest_stay(corpus, damaged, damage):
    damage(damaged / "clean/6.wav")
    log = damaged / "skipped.txt"
    skipped = SkippedFiles(max_share=1.0, log=log)
    dataset = some(damaged, skipped)
    before, after = one_by_one(some(corpus)), one_by_one(copy.deepcopy(dataset))
    changed = [not torch.equal(after[key], before[key]) for key in before]
    assert sum(changed) == skipped.met > 0
    assert log.read_text().startswith("clean/6.wav\t")
    assert_same(one_by_one(dataset), after)


def test_a_file_is_named_once_and_an_example_counted_once(damaged):
    names = [f"clean/{i}.wav" for i in range(FILES - 1)]
    for name in names:  # one attempt after another fails
        remove(damaged / name)
    log = damaged / "logs/skipped.txt"
    log.parent.mkdir()
    log.write_text("clean/33.wav\tgone\n")  # a longer name
    for _ in range(2):  # the second as after a resume
        skipped = SkippedFiles(max_share=1.0, log=log)
        dataset = some(damaged, skipped)
        for _ in range(2):  # a new worker each
            list(SaveableDataLoader(dataset, batch_size=4, num_workers=1))
    lines = [line.split("\t")[0] for line in log.read_text().splitlines()]
    assert sorted(lines) == sorted([*names, "clean/33.wav"])
    assert 0 < skipped.met <= 64
    assert skipped.summary().startswith(f"{skipped.met} of 64 examples met")


@pytest.mark.parametrize("kind", ["clean", "noise", "rir"])
def test_silence_is_stood_in_for_and_not_counted(damaged, kind):
    for i in range(0, FILES, 2):
        write(damaged / f"{kind}/{i}.wav", np.zeros(2 * RATE), RATE)
    skipped = SkippedFiles(max_share=0, min_examples=1)
    mixing = settings(noises=1, **{**PLAIN, "p_reverb": 0.5})
    made = one_by_one(make(damaged, mixing, skipped=skipped))
    assert_same(one_by_one(make(damaged, mixing)), made)
    # Speech of 0.1, at -6 dB and lowered where it would exceed full scale.
    assert min(float(noisy.std()) for noisy, _ in made.values()) > 0.02
    assert skipped.met == 0


def test_no_readable_file_at_all_is_an_error(damaged):
    for i in range(FILES):
        remove(damaged / f"clean/{i}.wav")
    with pytest.raises(RuntimeError, match="example 0 of epoch 1: 50 draws met"):
        some(damaged, SkippedFiles(max_share=1.0))[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_count_together_and_past_the_share_training_stops(damaged, workers):
    cut_off(damaged / "clean/6.wav")
    log = damaged / "skipped.txt"
    alone = SkippedFiles(max_share=0.5)
    one_by_one(some(damaged, alone))
    skipped = SkippedFiles(max_share=0.5, min_examples=9)
    options = {"batch_size": 4, "num_workers": workers}
    assert len(list(SaveableDataLoader(some(damaged, skipped), **options))) == 32 / 4
    # Two workers that count at the same instant may count as one: seldom.
    assert int(skipped.summary().split()[2]) == pytest.approx(32, abs=2)
    assert skipped.met == pytest.approx(alone.met, abs=2)
    strict = SkippedFiles(max_share=0.01, log=log, min_examples=20)
    # The worker's traceback stands before it.
    message = (
        r"(?s)\d+ of \d+ examples met a file that could not be read, more than the 1.0%"
        r" that max_share of skipped_files allows; the last was clean/6.wav: .*; "
        r".*skipped.txt names them. Restore the files, or prepare the data again"
    )
    with pytest.raises(TooManySkippedError, match=message):
        list(SaveableDataLoader(some(damaged, strict, 60), **options))
    assert int(strict.summary().split()[2]) >= 20


def test_a_share_is_looked_at_from_so_many_examples_on():
    skipped = SkippedFiles(max_share=0.5, min_examples=3)
    for i in range(10):  # at the share itself nothing stops
        skipped.begin_example()
        if i % 2:
            skipped.add("a.wav", "gone")
    skipped.begin_example()
    with pytest.raises(TooManySkippedError, match="6 of 11 .* the last was b.wav: cut"):
        skipped.add("b.wav", "cut")
    with pytest.raises(ValueError, match="max_share is 1.5"):
        SkippedFiles(max_share=1.5)
