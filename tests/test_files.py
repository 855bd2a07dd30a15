"""Files are whole or as they were, and a folder is one process's."""

import os
import subprocess
import sys

import pytest

from speechbrain_mal.files import lock_folder, remove_partials, whole_file, write_text

LOCK = "import sys; from speechbrain_mal.files import lock_folder; "
LOCK += "lock_folder(sys.argv[1]); print('mine')"


def test_a_folder_is_one_processs_until_that_ends(tmp_path):
    def other():
        command = [sys.executable, "-c", LOCK, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True)

    lock = lock_folder(tmp_path)
    assert "another process works in this folder; wait" in other().stderr
    child = os.fork()  # a worker that outlives its parent's lock
    if not child:
        os.execvp("sleep", ["sleep", "9"])
    lock.close()
    assert other().stdout == "mine\n"
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_an_error_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_killed_is_cleared_away_and_what_runs_is_not(tmp_path):
    for process in (os.getpid(), 2**22 + 1):  # beyond any process's number
        (tmp_path / f".a.{process}.partial").touch()
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".a.{os.getpid()}.partial"]


def test_through_no_link_and_with_names_of_any_length(tmp_path):
    (tmp_path / "target").write_text("of somebody else")
    name = "n" * 255
    (tmp_path / name).symlink_to("target")
    write_text(tmp_path / name, "mine")
    assert (tmp_path / "target").read_text() == "of somebody else"
    assert (tmp_path / name).read_text() == "mine"
    with pytest.raises(OSError, match="too long"):
        write_text(tmp_path / (name + "n"), "mine")
