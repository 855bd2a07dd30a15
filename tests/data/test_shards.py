"""Shards: the same audio, whole or absent, read once by one reader."""

import io
import itertools
import json
import multiprocessing
import os
import resource
import signal
import tarfile
import types

import numpy as np
import pytest
import soundfile
import torch
from dns_tree import noise, write
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader

from speechbrain_mal.data import (
    Mixing,
    ShardedMixtures,
    SkippedFiles,
    pack_shards,
    shard_mixtures,
    shards,
)
from speechbrain_mal.data.shard_mixtures import Buffer
from speechbrain_mal.data.shards import (
    BadShardError,
    PackedFile,
    read_index,
    read_shard,
)

KINDS = {"clean": 18, "noise": 6, "rir": 3}  # files
MAX_BYTES = 100_000  # three files a shard
NAMES = ["clean/Stra\udcdfe.wav", "clean/a b.wav"]  # the first is in Latin-1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return a folder of a second a file and of its manifests."""
    root = tmp_path_factory.mktemp("corpus")
    for kind, files in KINDS.items():
        names = [f"{kind}/{i}.wav" for i in range(files)]
        if kind == "clean":
            names[:2] = NAMES
        entries = {}
        for i, name in enumerate(names):
            write(root / name, noise(16000, seed=i))
            entries[name] = {"samples": 16000, "sample_rate": 16000}
            if kind == "clean":
                entries[name]["speaker"] = f"p{i}"
        (root / f"train_{kind}.json").write_text(json.dumps(entries))
    return root


@pytest.fixture(scope="module")
def packed(corpus, tmp_path_factory):
    return pack(corpus, tmp_path_factory.mktemp("shards"))


@pytest.fixture
def folder(packed, tmp_path):
    """Return a copy of the shards, to be spoilt."""
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def pack(corpus, output):
    return pack_shards(corpus, corpus, output, max_bytes=MAX_BYTES).parent


def mixing(**settings):
    return Mixing(
        seconds=0.5, sample_rate=16000, noises=1, **{"p_reverb": 0.3, **settings}
    )


def files_of(folder, kind="clean"):
    every = [read_shard(folder, shard) for shard in read_index(folder)[kind]]
    return list(itertools.chain(*every))


# Packing


def test_shards_hold_every_file_as_it_is(corpus, packed):
    for kind in KINDS:
        manifest = json.loads((corpus / f"train_{kind}.json").read_text())
        files = files_of(packed, kind)
        assert sorted(file.name for file in files) == sorted(manifest)
        for file in files:
            assert file.audio == (corpus / file.name).read_bytes()
            assert file.samples == len(soundfile.read(io.BytesIO(file.audio))[0])
            assert file.speaker == manifest[file.name].get("speaker")
    assert len(read_index(packed)["clean"]) == 6
    for shard in packed.glob("*.tar"):
        assert shard.stat().st_size < 1.2 * MAX_BYTES
        # WebDataset's rule: a sample is what has one name up to the first dot.
        with tarfile.open(shard) as tar:
            names = tar.getnames()
        for audio, facts in zip(names[::2], names[1::2], strict=True):
            assert audio == facts.replace(".json", ".wav")


def die_while_packing(corpus, output):
    pack_one, made = shards._pack, []

    def dying(path, *rest):
        if len(made) == 3:
            name = f".0123456789ab.{os.getpid()}.partial"
            (path.parent / name).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        made.append(path)
        return pack_one(path, *rest)

    shards._pack = dying
    pack(corpus, output)


def test_packing_goes_on_after_a_kill(corpus, packed, tmp_path):
    process = multiprocessing.get_context("fork").Process(
        target=die_while_packing, args=(corpus, tmp_path)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="index_train.json does not exist"):
        read_index(tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.tar")}
    assert len(kept) == 3
    pack(corpus, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert read_index(tmp_path) == read_index(packed)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"entries": []}'])
def test_what_is_not_known_to_be_whole_is_packed_again(corpus, folder, content):
    index = read_index(folder)
    (folder / "train_clean-000000.json").write_text(content)
    (folder / "train_clean-000001.tar").write_bytes(b"half")
    pack(corpus, folder)
    assert read_index(folder) == index
    assert len(files_of(folder)) == KINDS["clean"]


def test_a_full_disk_leaves_no_part_of_a_shard(corpus, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_BYTES // 3, hard))
    try:
        with pytest.raises(OSError, match="too large.*train_clean-000000.tar"):
            pack(corpus, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_pipe_in_the_corpus_and_a_file_outside_of_it_are_named(tmp_path):
    entry = {"samples": 9, "sample_rate": 16000}
    os.mkfifo(tmp_path / "a.wav")
    (tmp_path / "x.wav").write_bytes(b"secret")
    for name, error, message in (
        ("a.wav", OSError, "not a regular file: .*a.wav"),
        ("../x.wav", ValueError, "train_clean.json: '../x.wav' is outside of the data"),
    ):
        for kind in ("clean", "noise"):
            (tmp_path / f"train_{kind}.json").write_text(json.dumps({name: entry}))
        with pytest.raises(error, match=message):
            pack_shards(tmp_path, tmp_path, tmp_path / "out")
        assert not list((tmp_path / "out").glob("*.tar"))


# Damage


def tar_of(*members):
    """Return a tar of (name, content, changes to the header)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content, changes in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in changes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return output.getvalue()


def claimed(size):
    """Return a tar whose first member claims to be of a size, and is not."""
    data = bytearray(tar_of(("0.wav", b"1234", {})))
    info = tarfile.TarInfo("0.wav")
    info.size = size
    data[:512] = info.tobuf(format=tarfile.GNU_FORMAT)
    return bytes(data)


def sparse(size):
    """Return a tar with a member of holes only, in GNU's old format."""
    info = tarfile.TarInfo("0.wav")
    info.size, info.type = 0, tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(format=tarfile.GNU_FORMAT))
    header[483:495] = b"\x80" + size.to_bytes(11, "big")  # its size with the holes
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


FACTS = {"name": "a.wav", "samples": 16000, "sample_rate": 16000}


def with_facts(**changes):
    facts = json.dumps({**FACTS, **changes}).encode()
    return tar_of(("0.wav", b"1234", {}), ("0.json", facts, {}))


DAMAGE = {
    "a bit": lambda data: data[:3000] + bytes([data[3000] ^ 1]) + data[3001:],
    "cut": lambda data: data[: len(data) // 2],
    "the last byte": lambda data: data[:-1],
    "longer": lambda data: data + bytes(512),
    "empty": lambda data: b"",
    "claimed": lambda data: claimed(1 << 36),
    "sparse": lambda data: sparse(1 << 36),
    "link": lambda data: tar_of(("0.wav", b"", {"type": tarfile.SYMTYPE})),
    "outside": lambda data: tar_of(("../0.wav", b"1", {}), ("../0.json", b"{}", {})),
    "facts": lambda data: tar_of(("0.wav", b"1", {}), ("0.json", b"[]", {})),
    "null": lambda data: tar_of(("0.wav", b"1", {}), ("0.json", b"null", {})),
    "no facts": lambda data: tar_of(("0.wav", b"1", {})),
    "many facts": lambda d: tar_of(("0.wav", b"", {}), ("0.json", bytes(1 << 17), {})),
    "a rate of 0": lambda data: with_facts(sample_rate=0),
    "other samples": lambda data: with_facts(samples=17000),
    "a word": lambda data: with_facts(word="any"),
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("as_indexed", [False, True])
def test_a_damaged_shard_is_named(folder, damage, as_indexed):
    shard = read_index(folder)["clean"][1]
    path = folder / shard["name"]
    data = path.read_bytes()
    if damage in ("a pipe", "a folder", "nothing"):
        path.unlink()
        DAMAGE[damage](path)
    else:
        path.write_bytes(DAMAGE[damage](data))
        if as_indexed:  # as of a stranger, whose index says so, too
            shard["bytes"] = path.stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 35, limit[1]))
    try:
        with pytest.raises(BadShardError, match=f"{path.name} is not as it was packed"):
            list(read_shard(folder, shard))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)


@pytest.mark.parametrize(
    "content",
    ["", "null", "[]", "{}", '{"clean": [], "noise": []}', '{"clean": 1, "noise": 2}']
    + [
        json.dumps({"clean": [{**shard, **change}], "noise": [shard]})
        for shard in [{"name": "a.tar", "bytes": 1, "sha256": "", "samples": [1]}]
        for change in [{"name": "../a.tar"}, {"samples": ["a"]}, {"sha256": None}]
    ],
)
def test_a_damaged_index_is_named(folder, content):
    (folder / "index_train.json").write_text(content)
    with pytest.raises(ValueError, match="index_train.json"):
        ShardedMixtures(mixing(), folder, 4)


def test_speech_that_is_kept_was_checked_to_the_end(folder):
    for shard in read_index(folder)["clean"]:
        path = folder / shard["name"]
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"1")  # behind the last file
        with pytest.raises(BadShardError, match=f"{path.name}.* SHA-256 is another"):
            next(iter(ShardedMixtures(mixing(), folder, 4)))
        path.write_bytes(content)


def test_a_damaged_file_in_a_shard_is_counted_once_a_pass(corpus, folder, tmp_path):
    manifest = json.loads((corpus / "train_clean.json").read_text())
    (broken,) = [name for name in manifest if name.endswith("/9.wav")]
    kept = (corpus / broken).read_bytes()
    try:
        (corpus / broken).write_bytes(b"RIFF, and no more")
        pack(corpus, tmp_path / "other")  # damaged when it was packed
    finally:
        (corpus / broken).write_bytes(kept)
    log = tmp_path / "skipped.txt"
    skipped = SkippedFiles(max_share=1.0, log=log)
    options = {"buffer": 3, "skipped": skipped}
    dataset = ShardedMixtures(mixing(), tmp_path / "other", 100, **options)
    assert len(list(dataset)) == 100
    assert broken in log.read_text()
    # It is replaced as soon as it is met, and then comes with the next pass.
    assert 0 < skipped.met <= 100 // len(manifest) + 1


# Mixtures


@pytest.mark.parametrize("workers", [1, 2])
def test_every_worker_of_every_process_reads_other_shards(packed, monkeypatch, workers):
    ids, streamed = [], []
    stream = ShardedMixtures._stream

    def noted(self, shards):
        streamed.extend(s["name"] for s in shards if "clean" in s["name"])
        return stream(self, shards)

    monkeypatch.setattr(ShardedMixtures, "_stream", noted)
    for rank, worker in itertools.product(range(2), range(workers)):
        info = types.SimpleNamespace(num_workers=workers, id=worker)
        monkeypatch.setattr(shard_mixtures, "get_worker_info", lambda info=info: info)
        dataset = ShardedMixtures(mixing(), packed, 20, rank=rank, processes=2)
        ids += [mixture["id"] for mixture in dataset]
    assert sorted(ids) == [f"mix{i:07d}" for i in range(20)]
    # All of them, and no two readers have the same.
    assert sorted(streamed) == [shard["name"] for shard in read_index(packed)["clean"]]


def test_mixtures_come_again_and_change_with_the_epoch(packed):
    settings = mixing(seed=3)
    dataset = ShardedMixtures(settings, packed, 12)
    first, again = (torch.stack([m["noisy"] for m in dataset]) for _ in range(2))
    assert torch.equal(first, again)
    settings.set_epoch(1)
    other = torch.stack([m["noisy"] for m in dataset])
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    # Mixtures, and not the same one over and over.
    assert len({float(wave.square().sum()) for wave in first}) == 12


@pytest.mark.parametrize("size", range(1, 14))
def test_a_buffer_has_every_file_in_turn(size):
    files = [PackedFile(str(i), b"", 1, 1) for i in range(12)]
    read = 0

    def stream():
        nonlocal read
        for file in itertools.cycle(files):
            read += 1
            yield file

    buffer = Buffer(stream(), len(files), size)
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


def test_in_speechbrains_loader_with_workers(packed):
    settings = mixing(level_db=-30, gain_db=None, p_reverb=0)
    dataset = ShardedMixtures(settings, packed, 16)
    loader = SaveableDataLoader(
        dataset, batch_size=4, num_workers=2, collate_fn=PaddedBatch
    )
    batches = list(loader)
    assert len(batches) == len(loader) == 4
    ids = sorted(i for b in batches for i in b.id)
    assert ids == [f"mix{i:07d}" for i in range(16)]
    for batch in batches:
        levels_db = 10 * batch.noisy.data.square().mean(1).log10()
        torch.testing.assert_close(levels_db, torch.full([4], -30.0), atol=0.01, rtol=0)
    dataset = ShardedMixtures(mixing(), packed, 16, rank=0, processes=100)
    with pytest.raises(ValueError, match="100 processes with 1 workers each"):
        next(iter(dataset))
