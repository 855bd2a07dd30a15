"""Every audio file of a folder once, whatever links there are."""

import os
from pathlib import Path

import pytest

from speechbrain_mal.audio import find_audio, walk


@pytest.fixture
def tree(tmp_path):
    for name in ("b/1.wav", "a/2.FLAC", "a/._2.flac", ".git/3.wav", "4.m4a", "5.txt"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(b"x")
    return tmp_path / "tree"


def found(folder, **options):
    return [
        str(path.relative_to(folder)) for path in find_audio(folder, **options).files
    ]


def test_links_are_followed_once_and_the_tree_itself_comes_first(tree, tmp_path):
    (tree / "a" / "to_b").symlink_to(tree / "b")  # met before b is
    (tree / "b" / "up").symlink_to("..")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "6.wav").write_bytes(b"x")
    (tmp_path / "other" / "back").symlink_to(tree)
    (tree / "c").symlink_to(tmp_path / "other")
    (tree / "d").symlink_to(tmp_path / "other")
    assert found(tree, only_seekable=True) == ["a/2.FLAC", "b/1.wav", "c/6.wav"]


def test_the_output_is_left_out_by_any_name_of_it(tree, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tree / "b")
    monkeypatch.chdir(tree)
    for output in (tree / "b", Path("b"), tmp_path / "link", Path("a", "..", "b")):
        assert found(tree, leave_out=output, only_seekable=True) == ["a/2.FLAC"]


def test_what_cannot_be_read_here_is_counted(tree, monkeypatch):
    monkeypatch.setattr(walk, "find_ffmpeg", lambda: None)
    assert find_audio(tree).ignored == [tree / "4.m4a"]
    assert "1 file(s) ignored (.m4a): install ffmpeg" in find_audio(tree).ignored_note()
    monkeypatch.setattr(walk, "find_ffmpeg", lambda: "ffmpeg")
    assert "4.m4a" in found(tree) and not find_audio(tree).ignored_note()


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is closed to root")
def test_a_closed_folder_is_named(tree):
    (tree / "b").chmod(0)
    assert "can't be opened" in find_audio(tree).broken[tree / "b"]


def test_errors(tree):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        find_audio(tree / "nowhere")
