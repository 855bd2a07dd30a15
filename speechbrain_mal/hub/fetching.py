"""The folder of an enhancer: a local one, or a snapshot of a repository on the hub.

What only the hub needs is imported when a folder is of the hub.
"""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from speechbrain_mal.files import read_bytes, whole_file

if TYPE_CHECKING:
    from speechbrain.utils.fetching import FetchConfig


def fetch_folder(
    source: str | os.PathLike,
    files: Mapping[str, int],
    savedir: str | os.PathLike | None = None,
    fetch_config: FetchConfig | None = None,
) -> Path:
    """Return a folder for the named files, of a repository all of the same commit.

    A local folder is used in place, whatever it holds. Anything else is the id of a
    repository on the Hugging Face hub. Whenever there is network the hub is asked
    whether the revision has moved on; without, or when the hub does not let one in, the
    cache is used.

    Arguments
    ---------
    source : str or path
        A folder, or a hub id `user/name`.
    files : mapping of str to int
        The files, by their names in the folder, and the most bytes each may have.
    savedir : path, optional
        Where copies of a repository's files are put; no effect on a local folder.
    fetch_config : FetchConfig, optional
        SpeechBrain's. `token=False` sends none, `True` the stored one, a string itself.
        `overwrite` and `allow_updates` have no effect: which of two commits a file is
        of never depends on what was there before.

    Returns
    -------
    Path
        The folder, the snapshot in huggingface_hub's cache, or `savedir`.

    Raises
    ------
    ValueError
        When the source is neither a folder nor a repository's id, can't be reached, or
        lacks one of the files.
    OSError
        When `savedir` can't be written.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> fetch_folder(folder, {"config.json": 100}) == folder
    True
    """
    source = os.fspath(source)
    if source and Path(source).is_dir():
        return Path(source)
    if Path(source).is_file():
        raise ValueError(f"'{source}' is a file; name the folder that holds it.")
    from speechbrain_mal.hub.repositories import is_repo_id

    if not is_repo_id(source):
        raise ValueError(
            f"'{source}' is neither a folder nor a hub id; name a folder, or a hub id "
            f"as user/name.{_did_you_mean(source)}"
        )
    try:
        folder = _snapshot(source, files, fetch_config)
    except ValueError as error:
        raise ValueError(f"{error}{_did_you_mean(source)}") from error.__cause__
    return folder if savedir is None else _copied(files, folder, Path(savedir))


def _snapshot(
    repo_id: str, files: Mapping[str, int], fetch_config: FetchConfig | None
) -> Path:
    """Return the repository's snapshot in the cache, brought up to date."""
    from huggingface_hub import snapshot_download
    from speechbrain.utils.fetching import FetchConfig

    from speechbrain_mal.hub.repositories import clear_errors

    fetch_config = fetch_config or FetchConfig()
    revision = fetch_config.revision
    with clear_errors(repo_id, revision):
        folder = snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=[glob.escape(name) for name in files],
            token=fetch_config.token,
            cache_dir=fetch_config.huggingface_cache_dir,
            local_files_only=not fetch_config.allow_network,
        )
    missing = [name for name in files if not os.path.lexists(Path(folder, name))]
    if missing:
        raise ValueError(
            f"{repo_id}: revision '{revision or 'main'}' has no file '{missing[0]}'; "
            "name a repository that `speechbrain-mal publish` wrote."
        )
    return Path(folder)


def _copied(files: Mapping[str, int], folder: Path, savedir: Path) -> Path:
    """Copy files from a folder into another, each there only when it is whole."""
    savedir.mkdir(parents=True, exist_ok=True)
    for name, limit in files.items():
        with whole_file(savedir / name) as partial:
            partial.write_bytes(read_bytes(folder, name, limit))
    return savedir


def _did_you_mean(source: str) -> str:
    """Return a hint at a folder with nearly this name, if there is one."""
    path = Path(source)
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean the folder '{path.parent / near[0]}'?" if near else ""
