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


def hub_error(
    error: Exception,
    repo_id: str,
    revision: str | None = None,
    publishing: bool = False,
) -> ValueError:
    """Return one clear error for any that huggingface_hub raised.

    Its errors have no base in common, and have changed theirs; many only show what is
    wrong in the errors that they were raised from. So those are looked at too.

    Arguments
    ---------
    error : Exception
        What huggingface_hub raised.
    repo_id : str
        The repository.
    revision : str, optional
        The revision that was asked for.
    publishing : bool
        Whether it was to be written, not read.

    Returns
    -------
    ValueError
        Its message names the repository and says what to do; raise it `from` the error.

    Example
    -------
    >>> hub_error(ConnectionRefusedError("refused"), "user/name", publishing=True)
    ValueError("user/name: http... can't be reached; check the network (refused).")
    """
    chain = list(_chain(error))
    if http := _first(chain, HfHubHTTPError):
        text = _refused(http, repo_id, revision, publishing)
        text = text or f"the hub answered {http.response.status_code}: {error}"
    elif _first(chain, LocalTokenNotFoundError):
        text = "this takes a token, and none is stored; log in with `hf auth login`."
    elif _first(chain, OfflineModeIsEnabled) or (
        isinstance(error, LocalEntryNotFoundError) and len(chain) == 1
    ):
        cached = "" if publishing else "the cache does not hold all of it, and "
        text = (
            f"{cached}network access is turned off (HF_HUB_OFFLINE, or FetchConfig's "
            "allow_network); turn it on."
        )
    elif reason := _first(chain, _NETWORK):
        cached = "" if publishing else ", and the cache does not hold all of it"
        text = (
            f"{constants.ENDPOINT} can't be reached{cached}; check the network "
            f"({reason})."
        )
    else:
        verb = "published" if publishing else "fetched"
        text = f"it can't be {verb}: {type(error).__name__}: {error}"
    return ValueError(f"{repo_id}: {text}")


@contextmanager
def clear_errors(
    repo_id: str, revision: str | None = None, publishing: bool = False
) -> Iterator[None]:
    """Raise `hub_error` in place of whatever is raised in the block."""
    try:
        yield
    except Exception as error:  # huggingface_hub's have no base in common
        raise hub_error(error, repo_id, revision, publishing) from error


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
        return (
            f"{constants.ENDPOINT} has no such repository, or it is private; check "
            f"the name, or {log_in}."
        )
    if isinstance(error, RevisionNotFoundError):
        return (
            f"it has no revision '{revision}'; name one of its branches, tags or "
            "commit hashes."
        )
    if status == 401:
        return "the hub refuses the token; get a new one with `hf auth login`."
    if status == 403:
        right = "write" if publishing else "read"
        return (
            f"the hub forbids it ({error.server_message}); the token needs permission "
            f"to {right} there."
        )
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


def _first(chain: list[BaseException], kind: type | tuple) -> BaseException | None:
    return next((error for error in chain if isinstance(error, kind)), None)
