"""Where the enhancers are that come with the package."""

from pathlib import Path

DEFAULT = "dfn2-mal-16k"


def shipped_model(name: str = DEFAULT) -> Path:
    """Return the folder of an enhancer that comes with the package.

    Arguments
    ---------
    name : str
        One of the folders in the repository's `pretrained/`.

    Returns
    -------
    Path
        What `MALEnhancement.from_hparams` takes as its source.

    Raises
    ------
    ValueError
        When there is none of that name; it lists those there are.

    Example
    -------
    >>> from speechbrain_mal.inference import MALEnhancement
    >>> enhancer = MALEnhancement.from_hparams(shipped_model())
    >>> enhancer.hparams.sample_rate
    16000
    """
    root = _root()
    names = sorted(path.parent.name for path in root.glob("*/config.json"))
    if name not in names:
        raise ValueError(f"No enhancer {name!r} comes with the package: {names}.")
    return root / name


def _root() -> Path:
    package = Path(__file__).resolve().parent.parent
    # A wheel has them inside the package, a clone beside it.
    for root in (package / "pretrained", package.parent / "pretrained"):
        if root.is_dir():
            return root
    raise ValueError("This installation has no folder of enhancers: reinstall it.")
