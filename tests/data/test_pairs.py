"""Crops that repeat exactly, and pairs that stay aligned."""

import copy
import json
import pickle

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader

from speechbrain_mal.data import RandomCrop, paired_dataset

RATE = 16000
CROP_SECONDS = 0.1
LENGTHS = {"p225_001": 4000, "p225_002": 1000, "p226_001": 9000, "p227_001": 5000}


@pytest.fixture
def crop():
    return RandomCrop(CROP_SECONDS, RATE, seed=3)


@pytest.fixture
def manifest(tmp_path):
    """Write clips whose noise is a ramp: its values tell which samples were read.

    All values are multiples of 2**-15, so 16-bit files and float32 sums are exact.
    """
    clips = {}
    for i, (clip_id, samples) in enumerate(LENGTHS.items()):
        clean = np.random.default_rng(i).integers(-9000, 9000, samples) / 2**15
        noisy = clean + ramp(0, samples).numpy()
        soundfile.write(tmp_path / f"{clip_id}_clean.flac", clean, RATE)
        soundfile.write(tmp_path / f"{clip_id}_noisy.wav", noisy, RATE)
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


def edit(manifest, change):
    clips = json.loads(manifest.read_text())
    change(clips)
    manifest.write_text(json.dumps(clips))


# The crop


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


def test_position_is_the_same_in_every_release():
    # A changed hash would silently change all experiments that are repeated.
    assert RandomCrop(2.0, RATE, seed=1)("p225_001", 48000)[0] == 14519


def test_positions_cover_the_clip_evenly():
    crop, counts, epochs = RandomCrop(10, 1), np.zeros(11), 11000
    for epoch in range(epochs):
        crop.set_epoch(epoch)
        start, stop = crop("p225_001", 20)
        assert stop - start == 10
        counts[start] += 1  # fails for a start beyond the last possible one
    # 1000 expected for each of the 11 positions; five standard deviations of a
    # binomial count are 151, and the positions are fixed, so this cannot flicker.
    assert np.abs(counts - 1000).max() < 151


@pytest.mark.parametrize("samples", [1, 1599, 1600])
def test_a_short_clip_is_whole(crop, samples):
    assert crop("p225_001", samples) == (0, samples)


@pytest.mark.parametrize("seconds, rate", [(0, RATE), (-1, RATE), (1, 0), (1e-6, RATE)])
def test_crop_without_samples(seconds, rate):
    with pytest.raises(ValueError, match="samples long: both values must be positive"):
        RandomCrop(seconds, rate)


def test_clip_without_samples(crop):
    with pytest.raises(ValueError, match="'p225_001' has 0 samples"):
        crop("p225_001", 0)


def test_a_pickled_crop_keeps_its_epoch_and_goes_its_own_way(crop):
    crop.set_epoch(5)
    loaded = pickle.loads(pickle.dumps(crop))
    assert loaded("p225_001", 9000) == crop("p225_001", 9000)
    crop.set_epoch(6)
    assert loaded.epoch == 5
    assert loaded._epoch.is_shared()


# The dataset


@pytest.mark.parametrize("epoch", range(5))
def test_noisy_and_clean_are_the_same_segment(manifest, crop, epoch):
    crop.set_epoch(epoch)
    dataset = paired_dataset(manifest, manifest.parent, crop)
    for item in dataset:
        start, stop = crop(item["id"], LENGTHS[item["id"]])
        assert item["noisy"].dtype == item["clean"].dtype == torch.float32
        assert torch.equal(item["noisy"] - item["clean"], ramp(start, stop))


def test_without_a_crop_clips_are_whole(manifest):
    dataset = paired_dataset(str(manifest), str(manifest.parent))
    assert {item["id"]: len(item["noisy"]) for item in dataset} == LENGTHS


def test_a_batch_is_padded_and_knows_its_lengths(manifest, crop):
    dataset = paired_dataset(manifest, manifest.parent, crop)
    batch = PaddedBatch([dataset[0], dataset[1]])
    assert batch.id == ["p225_001", "p225_002"]
    assert batch.noisy.data.shape == (2, 1600)
    assert torch.equal(batch.noisy.lengths, torch.tensor([1.0, 1000 / 1600]))
    assert torch.equal(batch.clean.lengths, batch.noisy.lengths)


@pytest.mark.parametrize("copied", ["itself", "sorted", "deepcopy"])
def test_a_copied_dataset_follows_the_epoch(manifest, crop, copied):
    dataset = paired_dataset(manifest, manifest.parent, crop)
    if copied == "sorted":  # which deep-copies the pipeline
        dataset = dataset.filtered_sorted(sort_key="length", reverse=True)
    elif copied == "deepcopy":
        dataset = copy.deepcopy(dataset)
    crop.set_epoch(1)
    item = next(item for item in dataset if item["id"] == "p226_001")
    start, stop = crop("p226_001", 9000)
    assert torch.equal(item["noisy"] - item["clean"], ramp(start, stop))


def test_a_pickled_dataset_gives_the_same_items(manifest, crop):
    dataset = paired_dataset(manifest, manifest.parent, crop)
    loaded = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(loaded[2]["noisy"], dataset[2]["noisy"])


def batches_of_epochs(manifest, epochs=3, **options):
    """Train-like iteration: set the epoch, then iterate the same loader."""
    crop = RandomCrop(CROP_SECONDS, RATE)
    dataset = paired_dataset(manifest, manifest.parent, crop)
    loader = SaveableDataLoader(
        dataset, batch_size=2, collate_fn=PaddedBatch, **options
    )
    result = []
    for epoch in range(epochs):
        crop.set_epoch(epoch)
        result.append([(b.id, b.noisy.data, b.clean.data) for b in loader])
    return result


@pytest.mark.parametrize("persistent", [False, True])
def test_batches_do_not_depend_on_the_workers(manifest, persistent):
    expected = batches_of_epochs(manifest, num_workers=0)
    options = {"num_workers": 2, "persistent_workers": persistent}
    found = batches_of_epochs(manifest, **options)
    for expected_epoch, found_epoch in zip(expected, found, strict=True):
        for (ids, *audio), (found_ids, *found_audio) in zip(
            expected_epoch, found_epoch, strict=True
        ):
            assert ids == found_ids
            assert all(map(torch.equal, audio, found_audio))
    first, second = expected[0][0], expected[1][0]
    assert not torch.equal(first[1], second[1])  # the epochs do differ


# Manifests that are wrong


def test_empty_manifest(manifest):
    manifest.write_text("{}")
    with pytest.raises(ValueError, match="train.json has no clips"):
        paired_dataset(manifest, manifest.parent)


def test_missing_manifest(manifest):
    with pytest.raises(FileNotFoundError, match="valid.json"):
        paired_dataset(manifest.with_name("valid.json"), manifest.parent)


def test_manifest_without_a_key(manifest):
    edit(manifest, lambda clips: clips["p226_001"].pop("samples"))
    with pytest.raises(ValueError, match="'p226_001' lacks samples: make the manifest"):
        paired_dataset(manifest, manifest.parent)


def test_wrong_data_folder(manifest):
    with pytest.raises(FileNotFoundError, match="is data_folder /nowhere the one"):
        paired_dataset(manifest, "/nowhere")


def test_crop_for_another_rate(manifest):
    with pytest.raises(ValueError, match="not 48000 Hz, which the crop is for"):
        paired_dataset(manifest, manifest.parent, RandomCrop(1.0, 48000))


def test_file_that_became_shorter(manifest):
    path = manifest.parent / "p225_001_clean.flac"
    soundfile.write(path, np.zeros(3000), RATE)
    dataset = paired_dataset(manifest, manifest.parent)
    with pytest.raises(ValueError, match=r"clean.flac: .* \(3000,\).*prepare the data"):
        dataset[0]
