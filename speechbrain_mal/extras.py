"""Packages that only an extra brings."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import a module, or say by an ImportError which extra brings it.

    Example
    -------
    >>> require("not_here", "perceptual")
    Traceback (most recent call last):
    ImportError: not_here is missing: pip install "speechbrain-mal[perceptual]".
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{error.name or module} is missing: pip install "speechbrain-mal[{extra}]"'
            "."
        ) from error
