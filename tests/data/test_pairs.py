"""Crops and the dataset of pairs: the same segment of both files, in any process."""

import copy
import json
import os
import pickle

import numpy as np
import pytest
import soundfile
import torch
from dns_tree import write
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader

from speechbrain_mal.data import Mixing, RandomCrop, mixed_dataset, paired_dataset

RATE = 16000
CROP_SECONDS = 0.1  # 1600 samples
LENGTHS = {"p225_001": 8000, "p225_002": 1000, "p226_001": 9000, "p226_002": 1601}


@pytest.fixture
def crop():
    return RandomCrop(CROP_SECONDS, RATE)


@pytest.fixture
def manifest(tmp_path):
    """Write pairs whose difference tells each sample's position, and their manifest."""
    clips = {}
    rng = np.random.default_rng(0)
    for clip_id, samples in LENGTHS.items():
        clean = np.round(rng.uniform(-0.2, 0.2, samples) * 2**15) / 2**15  # 16 bits
        noisy = clean + ramp(0, samples).numpy()
        write(tmp_path / f"{clip_id}_clean.flac", clean, RATE)
        write(tmp_path / f"{clip_id}_noisy.wav", noisy, RATE)
        clips[clip_id] = {
            "noisy_wav": f"{{data_root}}/{clip_id}_noisy.wav",
            "clean_wav": f"{{data_root}}/{clip_id}_clean.flac",
            "length": samples / RATE,
            "samples": samples,
        }
    path = tmp_path / "train.json"
    path.write_text(json.dumps(clips))
    return path


def ramp(start, stop):
    return torch.arange(start, stop) / 2**15


def test_position_depends_on_seed_epoch_and_id_only():
    def position(seed=0, epoch=0, clip_id="p225_001"):
        crop = RandomCrop(CROP_SECONDS, RATE, seed)
        crop("another clip", 50000)  # what came before does not matter
        torch.rand(1), np.random.rand()  # nor does the random state
        crop.set_epoch(epoch)
        return crop(clip_id, 100000)

    assert position() == position()
    others = {position(seed=1), position(epoch=1), position(clip_id="p225_002")}
    assert len(others | {position()}) == 4
    # A changed hash would silently change all experiments that are repeated.
    assert RandomCrop(2.0, RATE, seed=1)("p225_001", 48000)[0] == 14519


def test_positions_cover_the_clip_evenly():
    crop, counts = RandomCrop(0.01, 1000), np.zeros(11)
    for epoch in range(11000):
        crop.set_epoch(epoch)
        start, stop = crop("p225_001", 20)
        assert stop - start == 10
        counts[start] += 1  # fails for a start beyond the last possible one
    # 1000 expected for each of the 11 positions; five standard deviations of a
    # binomial count are 151, and the positions are fixed, so this cannot flicker.
    assert np.abs(counts - 1000).max() < 151


def test_a_pickled_crop_keeps_its_epoch_and_goes_its_own_way(crop):
    crop.set_epoch(5)
    loaded = pickle.loads(pickle.dumps(crop))
    assert loaded("p225_001", 9000) == crop("p225_001", 9000)
    crop.set_epoch(6)
    assert loaded.epoch == 5
    assert loaded._shared.is_shared()


@pytest.mark.parametrize(
    "copier",
    [
        lambda d: d,
        lambda d: d.filtered_sorted(sort_key="length", reverse=True),
        copy.deepcopy,
    ],
)
def test_items_are_the_same_segment_of_both_in_every_epoch(manifest, crop, copier):
    dataset = copier(paired_dataset(manifest, manifest.parent, crop))
    for epoch in range(2):
        crop.set_epoch(epoch)
        for item in dataset:
            start, stop = crop(item["id"], LENGTHS[item["id"]])
            assert stop - start == min(1600, LENGTHS[item["id"]])
            assert item["clean_wav"] == f"{manifest.parent}/{item['id']}_clean.flac"
            assert item["noisy"].dtype == item["clean"].dtype == torch.float32
            assert torch.equal(item["noisy"] - item["clean"], ramp(start, stop))
    loaded = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(loaded[2]["noisy"], dataset[2]["noisy"])
    whole = paired_dataset(str(manifest), str(manifest.parent))
    assert {item["id"]: len(item["noisy"]) for item in whole} == LENGTHS


def epochs_of(manifest, **options):
    """Train-like iteration: set the epoch, then iterate the same loader."""
    crop = RandomCrop(CROP_SECONDS, RATE)
    dataset = paired_dataset(manifest, manifest.parent, crop)
    loader = SaveableDataLoader(
        dataset, batch_size=2, collate_fn=PaddedBatch, **options
    )
    for epoch in range(3):
        crop.set_epoch(epoch)
        yield [(b.id, b.noisy.data, b.clean.data, b.noisy.lengths) for b in loader]


@pytest.mark.parametrize("persistent", [False, True])
def test_batches_do_not_depend_on_the_workers(manifest, persistent):
    expected = list(epochs_of(manifest, num_workers=0))
    found = epochs_of(manifest, num_workers=2, persistent_workers=persistent)
    for ours, theirs in zip(expected, found, strict=True):
        for (ids, *audio), (other_ids, *other) in zip(ours, theirs, strict=True):
            assert ids == other_ids
            assert all(map(torch.equal, audio, other))
    assert not torch.equal(expected[0][0][1], expected[1][0][1])  # epochs do differ
    assert torch.equal(expected[0][0][3], torch.tensor([1.0, 1000 / 1600]))


# What is wrong is named


def test_a_crop_without_samples_is_an_error():
    for seconds in (0, -1, 1e-6):
        with pytest.raises(ValueError, match="seconds is"):
            RandomCrop(seconds, RATE)
    for rate in (0, 1, -RATE, "abc", None):
        with pytest.raises(ValueError, match="sample_rate is"):
            RandomCrop(1, rate)
    with pytest.raises(ValueError, match="'p225_001' has 0 samples"):
        RandomCrop(1, RATE)("p225_001", 0)


def pairs_of(path):
    return paired_dataset(path, path.parent)


def mixtures_of(path):
    mixing = Mixing(seconds=1, sample_rate=RATE)
    return mixed_dataset(mixing, {"clean": path}, path.parent, 1)


def clip(**changes):
    entry = {
        "noisy_wav": "{data_root}/a",
        "clean_wav": "b",
        "length": 1.0,
        "samples": 9,
    }
    return json.dumps({"a": {**entry, **changes}})


def file(name="a", **changes):
    return json.dumps({name: {"samples": 1, "sample_rate": RATE, **changes}})


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        *(
            (read, content, message)
            for read in (pairs_of, mixtures_of)
            for content, message in [
                (None, "does not exist: prepare the data first"),
                ("", "no plain JSON"),
                ("[", "no plain JSON"),
                ("{}", "names no file"),
                ("null", "names no file"),
                ("[]", "names no file"),
                ('{"a": null}', "'a' has no (noisy_wav|samples): prepare"),
            ]
        ),
        (pairs_of, clip(noisy_wav=1), "'a' has noisy_wav 1: prepare"),
        (pairs_of, clip(samples="many"), "'a' has samples 'many'"),
        (pairs_of, clip(samples=-1), "'a' has samples -1"),
        (pairs_of, clip(length=0), "'a' has length 0"),
        (mixtures_of, file(sample_rate=0), "'a' has sample_rate 0"),
        (mixtures_of, file(sample_rate=1), "'a' has sample_rate 1"),
        (mixtures_of, file(sample_rate="abc"), "'a' has sample_rate 'abc'"),
        (mixtures_of, file(samples=None), "'a' has samples None"),
        (mixtures_of, file("/etc/passwd"), "'/etc/passwd' is outside of the data fol"),
        (mixtures_of, file("a/../../b"), "'a/../../b' is outside of the data folder"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path, read, content, message):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=f"x.json.*{message}"):
        read(path)


def test_wrong_paths_and_rates_are_named(manifest):
    with pytest.raises(FileNotFoundError, match="is data_folder /nowhere the one"):
        paired_dataset(manifest, "/nowhere")
    with pytest.raises(ValueError, match="not 48000 Hz, which the crop is for"):
        paired_dataset(manifest, manifest.parent, RandomCrop(1.0, 48000))
    os.mkfifo(manifest.with_name("pipe.json"))
    with pytest.raises(ValueError, match="pipe.json: not a regular file"):
        paired_dataset(manifest.with_name("pipe.json"), manifest.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda path: soundfile.write(path, np.zeros(3000), RATE),
            r"\(3000, 1\).*prep",
        ),
        (lambda path: soundfile.write(path, np.zeros((8000, 2)), RATE), "8000, 2"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_a_file_that_changed_is_named(manifest, change, message):
    dataset = paired_dataset(manifest, manifest.parent)
    change(manifest.parent / "p225_001_clean.flac")
    with pytest.raises(OSError, match=f"clean.flac: .*{message}"):
        dataset[0]
