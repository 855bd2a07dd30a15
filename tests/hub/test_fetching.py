"""huggingface_hub's own client fetches from a hub on loopback; local folders stay."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from speechbrain.utils.fetching import FetchConfig

from speechbrain_mal.hub.folder import fetch_folder
from speechbrain_mal.hub.repositories import REQUIRED, publish

FILES = {"config.json": 1 << 16, "enhancer.safetensors": 1 << 30}


def fetch(repository="alice/mal", files=FILES, savedir=None, **config):
    return fetch_folder(repository, files, savedir, FetchConfig(**config))


def contents(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in FILES]


@pytest.fixture
def commits(hub):
    """Put two commits on a hub: return their hashes. `v1` is a branch at the first."""
    first = hub.add("alice/mal", {name: b"first" for name in FILES})
    hub.repositories["alice/mal"].branches["v1"] = first
    return first, hub.add("alice/mal", {name: b"second" for name in FILES})


def test_a_local_folder_is_used_in_place(hub, tmp_path, monkeypatch):
    for name in ("alice/mal", "plain"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked").symlink_to("plain")
    for source in (tmp_path / "plain", "plain", "linked", "alice/mal"):
        folder = fetch_folder(source, FILES, savedir="saved")
        assert folder == Path(source)
    assert not Path("saved").exists() and not hub.requests


def test_what_was_published_comes_back(hub, tmp_path):
    exported = tmp_path / "exported"
    exported.mkdir()
    for name in REQUIRED:
        # every byte, and more of them than a socket takes at once
        data = b"---\n---\n" if name == "README.md" else bytes(range(256)) * 4096
        (exported / name).write_bytes(data)
    commit = publish(exported, "alice/mal").rpartition("/")[2]
    required = dict.fromkeys(REQUIRED, 1 << 30)
    for revision in (None, "main", commit):
        folder = fetch(files=required, revision=revision)
        for name in REQUIRED:
            assert (folder / name).read_bytes() == (exported / name).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == sorted(REQUIRED)


def test_a_branch_and_a_hash_are_revisions(commits):
    for revision, text in [
        (None, "second"),
        ("main", "second"),
        ("v1", "first"),
        (commits[0], "first"),
        (commits[1], "second"),
    ]:
        assert contents(fetch(revision=revision)) == [text, text]


def test_updates_are_seen_and_all_files_are_of_one_commit(hub, commits):
    assert contents(fetch()) == ["second", "second"]
    hub.add("alice/mal", {"enhancer.safetensors": b"third"})
    assert contents(fetch()) == ["second", "third"]
    assert contents(fetch(revision="v1")) == ["first", "first"]


def test_what_is_cached_is_not_downloaded_again(hub, commits):
    downloads = []
    hub.on_download = downloads.append
    for _ in range(2):
        fetch()
    assert sorted(downloads) == sorted(FILES)


@pytest.mark.parametrize("how", ["stopped", "out of order", "forbidden", "offline"])
def test_without_network_the_cache_is_used(hub, commits, how, monkeypatch):
    network = {"allow_network": how != "forbidden"}
    fetch(), fetch(revision=commits[0])
    asked = len(hub.requests)
    if how == "stopped":
        hub.stop()
    elif how == "out of order":
        hub.status = 500
    elif how == "offline":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    new, old = fetch(**network), fetch(revision=commits[0], **network)
    assert contents(new) == ["second"] * 2 and contents(old) == ["first"] * 2
    assert how == "out of order" or len(hub.requests) == asked
    # another branch, another repository, a file more: none of them is there
    hub.add("alice/other", {name: b"" for name in FILES})
    text = "the cache does not hold all of it"
    with pytest.raises(ValueError, match=f"alice/other: .*{text}"):
        fetch("alice/other", **network)
    with pytest.raises(ValueError, match=text):
        fetch(revision="v1", **network)


def test_a_part_in_the_cache_is_not_taken_for_all(hub, commits):
    fetch(files={"config.json": 100})
    with pytest.raises(ValueError, match="cache does not hold all of it, and network"):
        fetch(allow_network=False)
    assert contents(fetch()) == ["second", "second"]


def test_savedir_gets_copies_of_one_commit(hub, commits, tmp_path):
    saved = tmp_path / "results" / "saved"
    assert fetch(savedir=saved, revision="v1") == saved
    assert contents(saved) == ["first", "first"]
    assert not any(path.is_symlink() for path in saved.iterdir())
    fetch(savedir=saved)
    assert contents(saved) == ["second", "second"]
    hub.stop()
    # a savedir that holds something else does not stand in for what was asked for
    fetch(savedir=saved, revision="v1")
    assert contents(saved) == ["first", "first"]
    with pytest.raises(ValueError, match="alice/other: .* can't be reached"):
        fetch("alice/other", savedir=saved)
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)


def test_a_connection_that_breaks_off_is_taken_up(hub, monkeypatch):
    # the client keeps whole pieces, by default of 10 MB
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    content = os.urandom(300_000)
    hub.add("alice/mal", {"enhancer.safetensors": content})
    hub.cut.add("enhancer.safetensors")
    folder = fetch(files={"enhancer.safetensors": 1 << 30})
    assert (folder / "enhancer.safetensors").read_bytes() == content
    assert "bytes=150000-" in [headers["Range"] for *_, headers in hub.requests]


def test_a_download_that_was_killed_is_taken_up(hub, commits):
    begun, go_on = threading.Event(), threading.Event()

    def stall(name):
        if name == "enhancer.safetensors":
            begun.set()
            go_on.wait(10)

    hub.on_download = stall
    fork = multiprocessing.get_context("fork")  # inherits the fixture's settings
    process = fork.Process(target=fetch)
    process.start()
    assert begun.wait(10)
    process.kill()
    process.join()
    go_on.set()
    with pytest.raises(ValueError, match="cache does not hold all of it"):
        fetch(allow_network=False)
    assert contents(fetch()) == ["second", "second"]


def test_a_file_that_fails_leaves_nothing_half(hub, commits):
    fetch()
    hub.add("alice/mal", {name: b"third" for name in FILES})
    hub.failing["enhancer.safetensors"] = 403
    with pytest.raises(ValueError, match="forbids it .* permission to read there"):
        fetch()
    hub.failing.clear()
    assert contents(fetch()) == ["third", "third"]


def test_only_named_files_are_fetched_whatever_their_names(hub):
    files = {"a[1].txt": b"1", "a1.txt": b"2", "b.txt": b"3", "../evil.txt": b"4"}
    hub.add("alice/mal", files)
    folder = fetch(files={"a[1].txt": 1 << 30})
    assert [path.name for path in folder.iterdir()] == ["a[1].txt"]
    with pytest.raises(ValueError, match=r"\*.txt"):
        fetch(files={"*.txt": 1 << 30})
    with pytest.raises(ValueError, match="evil.txt"):
        fetch(files={"../evil.txt": 1 << 30})
    assert not list(folder.parent.parent.rglob("evil.txt"))


def test_a_token_is_sent_when_it_is_asked_for(hub, commits, monkeypatch):
    def sent():
        tokens = {headers.get("Authorization") for *_, headers in hub.requests}
        hub.requests.clear()
        return tokens

    fetch()
    assert sent() == {None}  # SpeechBrain's default, though alice is logged in
    hub.add("alice/secret", {name: b"private" for name in FILES}, private=True)
    with pytest.raises(ValueError, match=r"it is private; .*FetchConfig\(token=True"):
        fetch("alice/secret")
    sent()
    assert contents(fetch("alice/secret", token=True)) == ["private"] * 2
    # the storage has signed addresses, and gets no token
    assert sent() == {"Bearer hf_alice", None}
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    with pytest.raises(ValueError, match="no such repository, or it is private"):
        fetch("alice/secret", token=True, revision="v9")
    monkeypatch.setenv("HF_TOKEN", "hf_revoked")
    hub.add("alice/new", {name: b"" for name in FILES})
    with pytest.raises(ValueError, match="alice/new: the hub refuses the token; get a"):
        fetch("alice/new", token=True)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="takes a token, and none is stored; log in"):
        fetch("alice/new", token=True)


def test_what_is_not_there_is_named(hub, commits, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="alice/nal: .* no such repository") as info:
        fetch("alice/nal")
    assert "404" in str(info.value.__cause__) or "401" in str(info.value.__cause__)
    with pytest.raises(ValueError, match="alice/mal: it has no revision 'v9'; name"):
        fetch(revision="v9")
    with pytest.raises(ValueError, match="'main' has no file 'LICENSE'; name"):
        fetch(files={**FILES, "LICENSE": 9})
    with pytest.raises(ValueError, match="alice/mal: revision 'v1' has no file 'c'"):
        fetch(files={"c": 9}, revision="v1")
    hub.add("alice/gated", {name: b"" for name in FILES}, gated=True)
    page = f"{hub.endpoint}/alice/gated"
    with pytest.raises(ValueError, match=f"grant access to it; ask for it at {page}"):
        fetch("alice/gated")
    hub.status = 502
    with pytest.raises(ValueError, match=r"out of order or busy \(502\), and the"):
        fetch("alice/gated")
    hub.stop()
    with pytest.raises(ValueError, match=f"gated: {hub.endpoint} can't be reached"):
        fetch("alice/gated")


@pytest.mark.parametrize(
    "source",
    ["mal", "./alice/mal", "/alice/mal", "alice/mal/v1", "~/mal", "../mal", "a/b c", ""]
    + ["https://huggingface.co/alice/mal", "alice--x/mal", "C:\\mal"],
)
def test_what_is_neither_folder_nor_id(hub, source):
    with pytest.raises(ValueError, match="is neither a folder nor a hub id; name a fo"):
        fetch_folder(source, FILES)
    assert not hub.requests


def test_a_folder_of_nearly_this_name_is_suggested(hub, tmp_path, monkeypatch):
    (tmp_path / "results" / "mal_dynamic").mkdir(parents=True)
    (tmp_path / "results" / "log.txt").touch()
    monkeypatch.chdir(tmp_path)
    for source in ("results/mal_dynamc", "./results/mal-dynamic"):
        with pytest.raises(ValueError, match="mean the folder 'results/mal_dynamic'?"):
            fetch_folder(source, FILES)
    with pytest.raises(ValueError, match=r"'results/log.txt' is a file; name the fo"):
        fetch_folder("results/log.txt", FILES)
