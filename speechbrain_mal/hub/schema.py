"""Values of a stranger's JSON, held to what each may be.

What it may be is said in plain Python: a `range` for whole numbers, `bool`, a pair of
floats for a number between them, a set for one of these strings, `str` for short text,
`[what]` for a list, a dict for names with a kind each (all may be missing, `*` is any
other), `(what, or_what)` for either, `None` for null, or a function that returns the
checked value of `(value, where, depth)`.
"""

from typing import Any

from speechbrain_mal.files import shown

LONGEST = 64  # of a list, or of names with values
TEXT = 1000  # characters


def checked(value: object, kind: object, where: str, depth: int = 0) -> Any:
    """Return a value that is of its kind, or say what it should be.

    `kind` is what it may be, see above; `where` what errors call it, the file and the
    key; `depth` the number of functions of kinds around this one. ValueError when it
    is of another kind.
    """
    if isinstance(kind, tuple) and not isinstance(kind[0], float):
        either = kind[1]
        fits = isinstance(value, list) if isinstance(either, list) else value is either
        return checked(value, either if fits else kind[0], where, depth)
    if isinstance(kind, list | dict):
        if type(value) is not type(kind) or len(value) > LONGEST:
            what = "a list" if isinstance(kind, list) else "names with values"
            raise ValueError(f"{where}: {what}, {LONGEST} at most, not {shown(value)}.")
        if isinstance(kind, list):
            every = enumerate(value)
            return [checked(one, kind[0], f"{where}[{i}]", depth) for i, one in every]
        return {key: _entry(key, value[key], kind, where, depth) for key in value}
    if callable(kind) and kind not in (bool, str):
        return kind(value, where, depth)
    right, said = _is(value, kind)
    if not right:
        raise ValueError(f"{where}: {said}, not {shown(value)}.")
    return value


def _entry(key: str, value: object, kinds: dict, where: str, depth: int) -> Any:
    kind = kinds.get(key, kinds.get("*", _entry))
    if kind is _entry or not (key.isidentifier() and key.isascii()):
        known = ", ".join(sorted(kinds)) or "none"
        raise ValueError(f"{where}: {shown(key)} is not one of its names ({known}).")
    return checked(value, kind, f"{where}.{key}", depth)


def _is(value: object, kind: object) -> tuple[bool, str]:
    """Return whether a single value is of its kind, and what it should be."""
    if kind is None:
        return value is None, "null"
    if kind is bool:
        return isinstance(value, bool), "true or false"
    if kind is str:
        return isinstance(value, str) and len(value) <= TEXT, "a short text"
    if isinstance(kind, range):
        said = f"a whole number from {kind[0]} to {kind[-1]}"
        return type(value) is int and value in kind, said
    if isinstance(kind, tuple):
        low, high = kind
        right = type(value) in (int, float) and low <= value <= high
        return right, f"a number from {low:g} to {high:g}"
    return isinstance(value, str) and value in kind, f"one of {sorted(kind)}"
