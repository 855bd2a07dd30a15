"""Repositories on the hub: their ids, and what is wrong when one can't be reached."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
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

_NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)


def is_repo_id(name: str) -> bool:
    """Say whether a name has the form of a hub id, `user/name`.

    Example
    -------
    >>> is_repo_id("user/name"), is_repo_id("./name"), is_repo_id("results/mal/1234")
    (True, False, False)
    """
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


@contextmanager
def clear_errors(
    repo_id: str, revision: str | None = None, publishing: bool = False
) -> Iterator[None]:
    """Raise one clear ValueError in place of whatever huggingface_hub raises inside.

    Arguments
    ---------
    repo_id, revision : str
        The repository, and what of it was asked for.
    publishing : bool
        Whether it was to be written, not read.

    Example
    -------
    >>> with clear_errors("user/name", publishing=True):
    ...     raise ConnectionRefusedError("refused")
    Traceback (most recent call last):
    ValueError: user/name: http... can't be reached; check the network (refused).
    """
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

    cached = "" if publishing else "the cache does not hold all of it, and "
    if http := first(HfHubHTTPError):
        text = _refused(http, repo_id, revision, publishing)
        return text or f"the hub answered {http.response.status_code}: {error}"
    if first(LocalTokenNotFoundError):
        return "this takes a token, and none is stored; log in with `hf auth login`."
    alone = isinstance(error, LocalEntryNotFoundError) and len(chain) == 1
    if first(OfflineModeIsEnabled) or alone:
        return (
            f"{cached}network access is turned off (HF_HUB_OFFLINE, or FetchConfig's "
            "allow_network); turn it on."
        )
    if reason := first(*_NETWORK):
        cached = cached and ", and the cache does not hold all of it"
        where = f"{constants.ENDPOINT} can't be reached{cached}"
        return f"{where}; check the network ({reason})."
    verb = "published" if publishing else "fetched"
    return f"it can't be {verb}: {type(error).__name__}: {error}"


def _refused(
    error: HfHubHTTPError, repo_id: str, revision: str | None, publishing: bool
) -> str | None:
    """Say what an answer other than success means, if that is known."""
    status, log_in = error.response.status_code, "log in with `hf auth login`"
    if not publishing:
        log_in += " and pass FetchConfig(token=True)"
    if isinstance(error, GatedRepoError):
        page = f"{constants.ENDPOINT}/{repo_id}"
        return f"its authors grant access to it; ask for it at {page}, then {log_in}."
    if isinstance(error, RepositoryNotFoundError):
        private = f"no such repository, or it is private; check the name, or {log_in}"
        return f"{constants.ENDPOINT} has {private}."
    if isinstance(error, RevisionNotFoundError):
        known = "name one of its branches, tags or commit hashes"
        return f"it has no revision '{revision}'; {known}."
    if status == 401:
        return "the hub refuses the token; get a new one with `hf auth login`."
    if status == 403:
        needs = f"the token needs permission to {'write' if publishing else 'read'}"
        return f"the hub forbids it ({error.server_message}); {needs} there."
    if status == 429 or status >= 500:
        cached = "" if publishing else ", and the cache does not hold all of it"
        return f"the hub is out of order or busy ({status}){cached}; try again later."
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those it was raised from, each once."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
