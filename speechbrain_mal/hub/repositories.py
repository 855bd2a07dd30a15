"""Repositories on the Hugging Face hub: a commit up, a commit down, clear errors."""

from __future__ import annotations

import glob
import os
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import CommitOperationAdd, HfApi, constants, snapshot_download
from huggingface_hub.utils import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    validate_repo_id,
)

from speechbrain_mal.files import read_bytes

if TYPE_CHECKING:
    from speechbrain.utils.fetching import FetchConfig

REQUIRED = ("hyperparams.yaml", "config.json", "enhancer.safetensors", "README.md")
OPTIONAL = ("*.flac", "*.wav", "*.png", "LICENSE")  # example clips, figures
_LARGEST = 2 << 30  # bytes of a file
_TOKEN = "FetchConfig(token=True)"
_NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)


def publish(
    folder: str | os.PathLike,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
) -> str:
    """Upload an exported folder; the repository is made if there is none.

    Only what `speechbrain-mal export` writes is uploaded (`REQUIRED`, and what matches
    `OPTIONAL`), whatever else lies in the folder. All of it is one commit, so whoever
    loads the repository meanwhile gets the old enhancer or the new one. Returns the
    commit's address, which ends in the hash that `revision` takes: the last one's when
    nothing has changed. ValueError when the folder is not an exported one, the id has
    the wrong form, or the hub can't be reached or refuses.

    Arguments
    ---------
    folder, repo_id : path, str
        What `speechbrain-mal export` wrote, and the repository, `user/name`.
    private : bool
        Whether only its owner may see it. One that is there already stays what it is:
        asked to publish privately into a public one, this stops before the upload.
    revision : str, optional
        A branch, made if there is none; `main` by default.

    Example
    -------
    >>> publish(getfixture("tmp_path"), "user/name")
    Traceback (most recent call last):
    ValueError: ...: not an exported enhancer, hyperparams.yaml, ... missing; ...
    """
    files = _exported(Path(folder))
    if not is_repo_id(repo_id):
        raise ValueError(f"'{repo_id}' is not the id of a repository, as user/name is.")
    api = HfApi(token=True)  # that of `hf auth login`, or HF_TOKEN
    with _clear_errors(repo_id, publishing=True):
        api.create_repo(repo_id, private=private, exist_ok=True)
        hidden = api.repo_info(repo_id).private
    if private and not hidden:
        raise ValueError(
            f"{repo_id}: it is public already, and was to be private; nothing was "
            "uploaded. Make it private in its settings, or name another one."
        )
    with _clear_errors(repo_id, revision, publishing=True):
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(  # upload_folder may make several commits of it
            repo_id,
            [CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message="Upload of a speech enhancer",
            revision=revision,
        )
    return commit.commit_url


def _exported(folder: Path) -> dict[str, bytes]:
    """Return the files of an exported folder, or say why it is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder.")
    missing = [name for name in REQUIRED if not os.path.lexists(folder / name)]
    if missing:
        raise ValueError(
            f"{folder}: not an exported enhancer, {', '.join(missing)} missing; write "
            f"one with `speechbrain-mal export RESULTS_FOLDER {folder}`."
        )
    found = {file.name for pattern in OPTIONAL for file in folder.glob(pattern)}
    names = [*REQUIRED, *sorted(name for name in found if not name.startswith("."))]
    return {name: read_bytes(folder, name, _LARGEST) for name in names}


def snapshot(repo_id: str, files: Iterable[str], config: FetchConfig | None) -> Path:
    """Return a repository's snapshot in the cache, up to date; see `fetch_folder`."""
    from speechbrain.utils.fetching import FetchConfig

    config = config or FetchConfig()
    with _clear_errors(repo_id, config.revision):
        folder = snapshot_download(
            repo_id,
            revision=config.revision,
            allow_patterns=[glob.escape(name) for name in files],
            token=config.token,
            cache_dir=config.huggingface_cache_dir,
            local_files_only=not config.allow_network,
        )
    missing = [name for name in files if not os.path.lexists(Path(folder, name))]
    if missing:
        raise ValueError(
            f"{repo_id}: revision '{config.revision or 'main'}' has no file "
            f"'{missing[0]}'; name a repository that `speechbrain-mal publish` wrote."
        )
    return Path(folder)


def is_repo_id(name: str) -> bool:
    """Say whether a name has the form of a hub id, `user/name`."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


@contextmanager
def _clear_errors(
    repo_id: str, revision: str | None = None, publishing: bool = False
) -> Iterator[None]:
    """Raise one clear ValueError in place of whatever huggingface_hub raises inside."""
    try:
        yield
    except Exception as error:  # huggingface_hub's have no base in common
        said = _said(error, repo_id, revision, publishing)
        raise ValueError(f"{repo_id}: {said}") from error


def _said(
    error: Exception, repo_id: str, revision: str | None, publishing: bool
) -> str:
    chain = list(_chain(error))  # many only show what is wrong in what they came from

    def first(*kinds: type) -> BaseException | None:
        return next((one for one in chain if isinstance(one, kinds)), None)

    site, http, reason = constants.ENDPOINT, first(HfHubHTTPError), first(*_NETWORK)
    status = http.response.status_code if http else 0
    verb, use, log_in = "published", "write", "log in with `hf auth login`"
    cached = ""
    if not publishing:
        verb, use, log_in = "fetched", "read", f"{log_in} and pass {_TOKEN}"
        cached = ", and the cache does not hold all of it"
    busy, no_token = status == 429 or status >= 500, first(LocalTokenNotFoundError)
    alone = isinstance(error, LocalEntryNotFoundError) and len(chain) == 1
    offline = first(OfflineModeIsEnabled) or alone
    causes = {
        "its authors grant access to it; ask for it at "
        f"{site}/{repo_id}, then {log_in}.": isinstance(http, GatedRepoError),
        f"{site} has no such repository, or it is private; check the name, or "
        f"{log_in}.": isinstance(http, RepositoryNotFoundError),
        f"it has no revision '{revision}'; name one of its branches, tags or "
        "commit hashes.": isinstance(http, RevisionNotFoundError),
        "the hub refuses the token; get a new one with `hf auth login`.": status == 401,
        f"the hub forbids it ({getattr(http, 'server_message', '')}); the token needs "
        f"permission to {use} there.": status == 403,
        f"the hub is out of order or busy ({status}){cached}; try again later.": busy,
        f"the hub answered {status}: {http}": http,
        "this takes a token, and none is stored; log in with "
        "`hf auth login`.": no_token,
        f"{cached[6:]}{cached and ', and '}network access is turned off "
        "(HF_HUB_OFFLINE, or FetchConfig's allow_network); "
        "turn it on.": offline,
        f"{site} can't be reached{cached}; check the network ({reason}).": reason,
    }
    other = f"it can't be {verb}: {type(error).__name__}: {error}"
    return next((said for said, holds in causes.items() if holds), other)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those it was raised from, each once."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
