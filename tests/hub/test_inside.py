"""No name and no link leads out of the folder, whatever it is made of."""

import os

import pytest

from speechbrain_mal.hub.inside import check_inside


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a file, beside a file that is none of its business."""
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    for name in ("weights", "sub/weights"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize(
    "name", ["weights", "sub/weights", "./weights", "./sub//weights"]
)
def test_its_own_files_are_read(folder, name):
    assert check_inside(folder, name).read_text().endswith("weights")
    assert check_inside(str(folder), name).is_file()


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "sub/../../secret",
        "sub/../weights",
        "..",
        "/etc/passwd",
        "//etc/passwd",
        "..\\secret",
        "sub\\..\\..\\secret",
        "\\\\server\\share\\weights",
        "C:\\weights",
        "C:weights",
        "weights\0.txt",
    ],
)
def test_a_name_that_leads_out_is_refused(folder, name):
    with pytest.raises(ValueError, match="is not the name of a file in this folder"):
        check_inside(folder, name)


def test_a_link_that_leads_out_is_refused(folder):
    (folder / "link").symlink_to("../secret")
    (folder / "absolute").symlink_to(folder.parent / "secret")
    (folder / "link_to_link").symlink_to("link")
    (folder / "out").symlink_to("..")
    (folder / "nowhere").symlink_to("/nonexistent")
    (folder / "proc").symlink_to("/proc/self/environ")
    names = ["link", "absolute", "link_to_link", "out/secret", "nowhere", "proc", "out"]
    for name in names:
        with pytest.raises(ValueError, match=f"{name}: a link that leads out"):
            check_inside(folder, name)


def test_the_folders_beside_are_not_taken_for_it(folder):
    beside = folder.with_name("folder2")
    beside.mkdir()
    (beside / "weights").write_text("other")
    (folder / "link").symlink_to(beside / "weights")
    with pytest.raises(ValueError, match="leads out of the folder"):
        check_inside(folder, "link")


def test_links_within_and_to_the_folder_are_followed(folder):
    (folder / "link").symlink_to("sub/weights")
    (folder / "link_to_link").symlink_to("link")
    (folder.parent / "linked").symlink_to(folder)
    for home in (folder, folder.parent / "linked"):
        assert check_inside(home, "link_to_link").read_text() == "sub/weights"


def test_only_regular_files_are_read(folder):
    os.mkfifo(folder / "pipe")
    (folder / "to_pipe").symlink_to("pipe")
    for name in ("pipe", "to_pipe", "sub", ".", ""):
        with pytest.raises(ValueError, match="not a regular file"):
            check_inside(folder, name)


def test_missing_files_are_named(folder):
    (folder / "dangling").symlink_to("gone")
    (folder / "loop").symlink_to("loop")
    for name in ("gone", "sub/gone", "dangling", "loop"):
        with pytest.raises(ValueError, match=f"folder: it has no file '{name}'"):
            check_inside(folder, name)


def test_links_of_a_snapshot_lead_into_the_blobs_only(tmp_path):
    repository = tmp_path / "models--alice--mal"
    snapshot = repository / "snapshots" / "0123abc"
    shared, blobs = tmp_path / "blobs" / "ab", repository / "blobs"
    for path in (snapshot, shared, blobs, tmp_path / "models--bob--mal" / "blobs"):
        path.mkdir(parents=True)
    (shared / "abc").write_text("shared")
    (blobs / "one").write_text("own")
    (blobs / "two").symlink_to("../../blobs/ab/abc")
    (blobs / "evil").symlink_to("/etc/passwd")
    (tmp_path / "models--bob--mal" / "blobs" / "one").write_text("bob's")
    (snapshot / "own").symlink_to("../../blobs/one")
    (snapshot / "shared").symlink_to("../../blobs/two")
    (snapshot / "evil").symlink_to("../../blobs/evil")
    (snapshot / "other").symlink_to("../../../models--bob--mal/blobs/one")
    assert check_inside(snapshot, "own").read_text() == "own"
    assert check_inside(snapshot, "shared").read_text() == "shared"
    for name in ("evil", "other"):
        with pytest.raises(ValueError, match="leads out of the folder"):
            check_inside(snapshot, name)


def test_blobs_that_are_a_link_are_not_those_of_a_snapshot(tmp_path):
    repository = tmp_path / "models--alice--mal"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").symlink_to("/etc")
    (snapshot / "weights").symlink_to("../../blobs/passwd")
    with pytest.raises(ValueError, match="leads out of the folder, to /etc/passwd"):
        check_inside(snapshot, "weights")
