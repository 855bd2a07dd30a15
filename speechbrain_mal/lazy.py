"""Public names of a package, imported when they are first used.

Who loads an enhancer waits for torch, and not for all that a package has besides.
"""

import importlib
from collections.abc import Callable, Mapping


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    r"""Return a package's `__getattr__`, by its name and its public names' modules.

    Example
    -------
    >>> lazily("speechbrain_mal", {"shown": "files"})("shown")("\a")
    "'\\x07'"
    """

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return find
