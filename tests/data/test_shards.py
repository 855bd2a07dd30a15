"""Shards: the same audio, whole or absent, read once by one reader."""

import itertools
import json
import resource
import subprocess
import sys
import tarfile
import types

import numpy as np
import pytest
import soundfile
import torch
from conftest import SAMPLES
from dns_tree import make_tree
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader

from speechbrain_mal.data import (
    Mixing,
    ShardedMixtures,
    SkippedFiles,
    pack_shards,
    prepare_dns,
    shard_mixtures,
)
from speechbrain_mal.data.shard_mixtures import _Buffer
from speechbrain_mal.data.shards import (
    BadShardError,
    PackedFile,
    read_index,
    read_shard,
)

SMALL = 300_000  # bytes: some files a shard


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return a corpus and the folder of its manifests."""
    root = make_tree(tmp_path_factory.mktemp("corpus"), SAMPLES)
    prepare_dns(root, root / "manifests", 16000, valid_share=0.2)
    return root


@pytest.fixture
def folder(corpus, tmp_path):
    pack(corpus, tmp_path / "shards")
    return tmp_path / "shards"


def pack(corpus, output):
    return pack_shards(
        corpus / "manifests", corpus, output, max_bytes=SMALL, progressbar=False
    )


def mixing(**settings):
    return Mixing(seconds=0.5, sample_rate=16000, noises=1, **settings)


def files_of(folder, kind="clean"):
    return [
        file
        for shard in read_index(folder, "train")[kind]
        for file in read_shard(folder, shard)
    ]


def test_shards_hold_every_file_as_it_is(corpus, folder):
    for kind in ("clean", "noise", "rir"):
        manifest = json.loads((corpus / f"manifests/train_{kind}.json").read_text())
        files = files_of(folder, kind)
        assert sorted(file.name for file in files) == sorted(manifest)
        for file in files:
            assert file.audio == (corpus / file.name).read_bytes()
            assert file.samples == soundfile.info(corpus / file.name).frames
            assert file.speaker == manifest[file.name].get("speaker")
    assert len(read_index(folder, "train")["clean"]) > 3
    for shard in folder.glob("*.tar"):
        assert shard.stat().st_size < 2 * SMALL


def test_any_webdataset_reader_groups_them(folder):
    # WebDataset's rule: one sample is what has one name up to the first dot, in a row.
    with tarfile.open(next(folder.glob("*clean*.tar"))) as tar:
        names = tar.getnames()
    for audio, facts in zip(names[::2], names[1::2], strict=True):
        assert audio.split(".")[0] == facts.split(".")[0]
        assert facts.endswith(".json")


def test_packing_goes_on_after_a_kill(corpus, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    pack(corpus, whole)
    code = f"""
import os, signal
from speechbrain_mal.data import shards
pack, made = shards._pack, []
def dying(path, *rest):
    if len(made) == 3:
        (path.parent / f".{{path.name}}.partial").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    made.append(path)
    return pack(path, *rest)
shards._pack = dying
shards.pack_shards({str(corpus / "manifests")!r}, {str(corpus)!r}, {str(killed)!r},
                   max_bytes={SMALL}, progressbar=False)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with pytest.raises(FileNotFoundError, match="index_train.json does not exist"):
        read_index(killed, "train")
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("*.tar")}
    assert len(kept) == 3
    pack(corpus, killed)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert read_index(killed, "train") == read_index(whole, "train")
    assert not list(killed.glob(".*"))


def test_a_full_disk_leaves_no_part_of_a_shard(corpus, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL // 3, hard))
    try:
        with pytest.raises(OSError, match="too large.*train_clean-000000.tar"):
            pack(corpus, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "out").glob("*train_clean-000000*"))


@pytest.mark.parametrize("damage", ["a bit", "cut", "gone"])
def test_a_damaged_shard_is_named(folder, damage):
    shard = read_index(folder, "train")["clean"][1]
    path = folder / shard["name"]
    content = bytearray(path.read_bytes())
    if damage == "a bit":
        content[3000] ^= 1  # in the audio
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    if damage == "gone":
        path.unlink()
    with pytest.raises(BadShardError, match=f"{path.name}.*"):
        list(read_shard(folder, shard))


def test_readers_share_the_speech_out(folder, monkeypatch):
    by_reader = []
    stream = ShardedMixtures._stream

    def noted(self, kind, shards):
        by_reader.append((kind, [int(shard) for shard in shards]))
        return stream(self, kind, shards)

    monkeypatch.setattr(ShardedMixtures, "_stream", noted)
    ids = []
    for rank in (0, 1):
        dataset = ShardedMixtures(mixing(), folder, 20, rank=rank, processes=2)
        ids += [mixture["id"] for mixture in dataset]
    assert sorted(ids) == [f"mix{i:07d}" for i in range(20)]
    ours, theirs = (shards for kind, shards in by_reader if kind == "clean")
    assert not set(ours) & set(theirs)
    assert len(ours + theirs) == len(read_index(folder, "train")["clean"])


def test_every_worker_of_every_process_reads_other_shards(folder, monkeypatch):
    speech, ids = [], []
    stream = ShardedMixtures._stream

    def noted(self, kind, shards):
        if kind == "clean":
            speech.append({int(shard) for shard in shards})
        return stream(self, kind, shards)

    monkeypatch.setattr(ShardedMixtures, "_stream", noted)
    for rank, worker in itertools.product(range(2), range(2)):
        info = types.SimpleNamespace(num_workers=2, id=worker)
        monkeypatch.setattr(shard_mixtures, "get_worker_info", lambda info=info: info)
        dataset = ShardedMixtures(mixing(), folder, 20, rank=rank, processes=2)
        ids += [mixture["id"] for mixture in dataset]
    everything = set(range(len(read_index(folder, "train")["clean"])))
    assert set.union(*speech) == everything
    assert sum(map(len, speech)) == len(everything)  # so they are disjoint
    assert len(ids) == len(set(ids)) == 20


def test_mixtures_come_again_and_change_with_the_epoch(folder):
    settings = mixing(seed=3)
    dataset = ShardedMixtures(settings, folder, 12)
    first, again = (torch.stack([m["noisy"] for m in dataset]) for _ in range(2))
    assert torch.equal(first, again)
    settings.set_epoch(1)
    other = torch.stack([m["noisy"] for m in dataset])
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    # Mixtures, and not the same one over and over.
    assert len({float(wave.square().sum()) for wave in first}) == 12


def test_a_small_buffer_passes_through_all_speech(folder):
    names = set()
    dataset = ShardedMixtures(mixing(), folder, 60, buffer=4, noise_buffer=2)
    make = dataset._make

    def noted(index, kept):
        names.update(file.name for file in kept["clean"])
        for kind, size in (("clean", 4), ("noise", 2)):
            assert len({file.name for file in kept[kind]}) == size
        return make(index, kept)

    dataset._make = noted
    assert len(list(dataset)) == 60
    assert names == {file.name for file in files_of(folder)}


@pytest.mark.parametrize("size", range(1, 14))
def test_a_buffer_has_every_file_in_turn(size):
    files = [PackedFile(str(i), b"", 1, 1) for i in range(12)]
    read = 0

    def stream():
        nonlocal read
        while True:
            for file in files:
                read += 1
                yield file

    buffer = _Buffer(stream(), len(files), size)
    rng, seen, replaced, first = np.random.default_rng(0), set(), 0, read
    for _ in range(500):
        names = {file.name for file in buffer.files}
        assert len(names) == (size if size < 6 else 12)  # no file twice
        seen |= names
        used = {int(i) for i in rng.integers(len(buffer.files), size=2)}
        replaced += len(used)
        buffer.replace(used)
    assert len(seen) == 12
    # What is not in the buffer is more than half of the stream.
    assert read - first <= 2 * replaced


def test_speech_that_is_kept_was_checked_to_the_end(folder):
    for shard in read_index(folder, "train")["clean"]:
        path = folder / shard["name"]
        path.write_bytes(path.read_bytes()[:-1])  # behind the last file
    with pytest.raises(BadShardError, match="SHA-256"):
        next(iter(ShardedMixtures(mixing(), folder, 4)))


def test_in_speechbrains_loader_with_workers(folder):
    dataset = ShardedMixtures(mixing(), folder, 16)
    loader = SaveableDataLoader(
        dataset, batch_size=4, num_workers=2, collate_fn=PaddedBatch
    )
    batches = list(loader)
    assert len(batches) == len(loader) == 4
    assert sorted(i for b in batches for i in b.id) == [
        f"mix{i:07d}" for i in range(16)
    ]
    assert batches[0].noisy.data.shape == (4, 8000)


def test_more_readers_than_shards_is_an_error(folder):
    dataset = ShardedMixtures(mixing(), folder, 16, rank=0, processes=100)
    with pytest.raises(ValueError, match="100 processes with 1 workers each"):
        next(iter(dataset))


def test_a_damaged_file_in_a_shard_is_counted_once_a_pass(corpus, tmp_path):
    root = make_tree(tmp_path / "corpus", SAMPLES)
    prepare_dns(root, root / "manifests", 16000, valid_share=0.2)
    manifest = json.loads((root / "manifests/train_clean.json").read_text())
    broken = sorted(manifest)[0]
    (root / broken).write_bytes(b"RIFF, and no more")  # damaged when it was packed
    pack(root, tmp_path / "shards")
    skipped = SkippedFiles(max_share=1.0, log=tmp_path / "skipped.txt")
    dataset = ShardedMixtures(
        mixing(), tmp_path / "shards", 200, buffer=3, skipped=skipped
    )
    assert len(list(dataset)) == 200
    assert broken in (tmp_path / "skipped.txt").read_text()
    # It is replaced as soon as it is met, and then comes with the next pass.
    assert 0 < skipped.met <= 200 // len(manifest) + 1


def test_rendered_levels_are_those_asked_for(folder):
    settings = mixing(level_db=-30, gain_db=None, p_reverb=0)
    for mixture in ShardedMixtures(settings, folder, 8):
        level_db = 10 * mixture["noisy"].square().mean().log10().item()
        assert level_db == pytest.approx(-30, abs=0.01)
