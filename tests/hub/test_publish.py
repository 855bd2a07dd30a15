"""huggingface_hub's own client publishes an exported folder to a hub on loopback."""

import subprocess
import sys

import pytest

from speechbrain_mal.hub.repositories import REQUIRED, publish

CARD = "---\nlicense: apache-2.0\n---\n# An enhancer\n"


@pytest.fixture
def exported(tmp_path):
    """Return a folder with the files of an exported one."""
    folder = tmp_path / "exported"
    folder.mkdir()
    for name in REQUIRED:
        (folder / name).write_text(CARD if name == "README.md" else f"{name}, first")
    return folder


def contents(hub, repo_id, revision="main"):
    repository = hub.repositories[repo_id]
    files = repository.commits[repository.find(revision)]
    return {name: file.content.decode() for name, file in files.items()}


def test_all_exported_files_and_nothing_else_in_one_commit(hub, exported):
    for name in ("example_noisy.flac", "LICENSE", ".hidden.wav", "diary.txt", ".env"):
        (exported / name).write_text(name)
    url = publish(exported, "alice/mal")
    repository = hub.repositories["alice/mal"]
    files = contents(hub, "alice/mal")
    del files[".gitattributes"]  # the hub's own
    assert set(files) == {*REQUIRED, "example_noisy.flac", "LICENSE"}
    assert all(files[name] == (exported / name).read_text() for name in files)
    assert len(repository.commits) == 2 and not repository.private
    commit = repository.branches["main"]
    assert url == f"{hub.endpoint}/alice/mal/commit/{commit}"
    weights = repository.commits[commit]["enhancer.safetensors"]
    assert weights.lfs and weights.sha256 in hub.stored


def test_a_second_upload_is_a_commit_and_an_unchanged_one_is_none(hub, exported):
    first = publish(exported, "alice/mal").rpartition("/")[2]
    assert publish(exported, "alice/mal").endswith(first)
    (exported / "enhancer.safetensors").write_text("weights, second")
    second = publish(exported, "alice/mal").rpartition("/")[2]
    old, new = (contents(hub, "alice/mal", commit) for commit in (first, second))
    assert old.pop("enhancer.safetensors") == "enhancer.safetensors, first"
    assert new.pop("enhancer.safetensors") == "weights, second"
    assert old == new


def test_a_branch_is_made_and_leaves_main_alone(hub, exported):
    publish(exported, "alice/mal")
    (exported / "config.json").write_text("of the branch")
    for _ in range(2):  # the second time it is there
        publish(exported, "alice/mal", revision="v2")
    assert contents(hub, "alice/mal")["config.json"] == "config.json, first"
    assert contents(hub, "alice/mal", "v2")["config.json"] == "of the branch"


def test_private_means_private(hub, exported):
    publish(exported, "alice/mal", private=True)
    assert hub.repositories["alice/mal"].private
    publish(exported, "alice/mal")  # stays what it is
    assert hub.repositories["alice/mal"].private
    hub.add("alice/open", {"README.md": b""})
    with pytest.raises(ValueError, match="alice/open: it is public already"):
        publish(exported, "alice/open", private=True)
    assert len(hub.repositories["alice/open"].commits) == 1


def test_only_an_exported_folder_is_published(hub, exported, tmp_path):
    (exported / "config.json").unlink()
    (exported / "README.md").unlink()
    message = "config.json, README.md missing; write one with `speechbrain-mal export"
    with pytest.raises(ValueError, match=message):
        publish(exported, "alice/mal")
    with pytest.raises(ValueError, match="nowhere: there is no such folder"):
        publish(tmp_path / "nowhere", "alice/mal")
    assert not hub.requests


def test_no_link_publishes_another_file(hub, exported, tmp_path):
    (tmp_path / "key").write_text("secret")
    (exported / "example.wav").symlink_to(tmp_path / "key")
    with pytest.raises(ValueError, match="example.wav: a link, which is not followed"):
        publish(exported, "alice/mal")
    assert not hub.requests


@pytest.mark.parametrize("repo_id", ["mal", "alice/mal/v2", "alice/ mal", "./mal", ""])
def test_an_id_is_user_and_name(hub, exported, repo_id):
    with pytest.raises(ValueError, match="is not the id of a repository, as user/name"):
        publish(exported, repo_id)
    assert not hub.requests


def test_what_the_hub_refuses(hub, exported, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_revoked")
    with pytest.raises(ValueError, match="alice/mal: the hub refuses the token; get a"):
        publish(exported, "alice/mal")
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    with pytest.raises(ValueError, match="forbids it .* permission to write") as info:
        publish(exported, "bob/mal")
    assert info.value.__cause__ is not None  # huggingface_hub's own, with all details
    hub.add("bob/mal", {"README.md": b""})
    with pytest.raises(ValueError, match="bob/mal: .* needs permission to write there"):
        publish(exported, "bob/mal")
    commit = hub.add("alice/mal", {"README.md": b""})
    (exported / "README.md").write_text("---\ntags:\t[x]\n---\n")
    with pytest.raises(ValueError, match="(?s)answered 400: .*bad indentation: a tab"):
        publish(exported, "alice/mal")
    assert hub.repositories["alice/mal"].branches == {"main": commit}
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="takes a token, and none is stored; log in"):
        publish(exported, "alice/mal")
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    hub.status = 503
    with pytest.raises(ValueError, match=r"out of order or busy \(503\); try again"):
        publish(exported, "alice/mal")
    hub.stop()
    with pytest.raises(ValueError, match=f"{hub.endpoint} can't be reached; check the"):
        publish(exported, "alice/mal")


def test_another_process_finds_the_hub_by_its_environment(hub, exported):
    """The fixture sets the client's constants; here its variables are what is read."""
    program = (
        "import sys; from speechbrain_mal.hub.repositories import publish; "
        "print(publish(*sys.argv[1:])); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(exported), "alice/mal"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    commit = hub.repositories["alice/mal"].branches["main"]
    assert run.stdout.strip() == f"{hub.endpoint}/alice/mal/commit/{commit}"
