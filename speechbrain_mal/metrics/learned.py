"""What learned metrics share: where weights are, and one thread.

Every clip is scored on one thread: processes are what the cores are for, a forked one
can't wait for its parent's threads, and sums come out in the same order everywhere.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def weights_file(path: str | os.PathLike | None, cached: str, url: str) -> str:
    """Return the path of a network's weights: the user's, or `cached`.

    They are fetched from `url` once where neither is there; a FileNotFoundError says
    so if they can't be.

    Example
    -------
    >>> weights_file("nowhere/nisqa.tar", "", "")
    Traceback (most recent call last):
    FileNotFoundError: There are no weights at nowhere/nisqa.tar.
    """
    place = Path(cached if path is None else path).expanduser()
    if place.exists():
        return str(place)
    if path is not None:
        raise FileNotFoundError(f"There are no weights at {place}.")
    from torch.hub import download_url_to_file  # moves it into place when complete

    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        download_url_to_file(url, str(place), progress=False)
    except OSError as error:  # which URLError and HTTPError are
        raise FileNotFoundError(
            f"There are no weights at {place}, and {url} can't be fetched ({error}). "
            "Put the file there, or name yours by the option `weights`."
        ) from error
    return str(place)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread and without gradients in the block.

    Example
    -------
    >>> import torch
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
