"""Files that a folder may name: its own, and no other on the machine."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath


def check_inside(folder: str | os.PathLike, name: str) -> Path:
    """Return the file `folder/name`, unless that is a file outside of the folder.

    A folder that was downloaded says in its YAML which files are to be read. Links are
    followed to their end, so one to a link is judged by what is read. In a snapshot of
    huggingface_hub's cache files are links into the cache's `blobs`; those are fine,
    and so is a folder that is itself reached through a link.

    Arguments
    ---------
    folder : path
        The folder.
    name : str
        A file's path in it, relative.

    Returns
    -------
    Path
        `folder/name`, a regular file.

    Raises
    ------
    ValueError
        When the name is absolute or has a `..`, and when the file is missing, lies
        outside of the folder, or is none (a folder, a pipe, a device).

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "weights").write_bytes(b"")
    >>> check_inside(folder, "weights").name
    'weights'
    >>> check_inside(folder, "../weights")
    Traceback (most recent call last):
    ValueError: ...: '../weights' is not the name of a file in this folder...
    """
    folder = Path(folder)
    # A name is read on another system than the one on which it was written.
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.anchor or ".." in path.parts or "\0" in name:
            raise ValueError(
                f"{folder}: '{name}' is not the name of a file in this folder; only "
                "files inside of it are read."
            )
    file, root = folder / name, Path(os.path.realpath(folder))
    target = Path(os.path.realpath(file))
    if not any(target.is_relative_to(home) for home in (root, *_blobs(root))):
        raise ValueError(
            f"{file}: a link that leads out of the folder, to {target}; put the file "
            "itself there."
        )
    if not file.exists():
        dangling = f", but a link to {target}, which is not there" * file.is_symlink()
        raise ValueError(f"{folder}: it has no file '{name}'{dangling}.")
    if not file.is_file():  # opening a pipe would wait for ever
        raise ValueError(f"{file}: not a regular file.")
    return file


def _blobs(root: Path) -> tuple[Path, ...]:
    """Return where the links of a snapshot in huggingface_hub's cache may lead.

    The cache is `models--user--name/snapshots/commit`; contents are in the repository's
    `blobs`, or those in links to the `blobs` that all repositories share. Neither
    folder is resolved: were it a link, it would not be the hub's.
    """
    repository = root.parent.parent
    if root.parent.name == "snapshots" and repository.name.startswith("models--"):
        return repository / "blobs", repository.parent / "blobs"
    return ()
