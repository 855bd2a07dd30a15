"""Where the enhancers are that come with the package."""

from pathlib import Path

DEFAULT = "dfn2-mal-16k"


def shipped_model(name: str = DEFAULT) -> Path:
    """Return the folder of an enhancer that comes with the package, by its name.

    ValueError when there is none of that name; it lists those there are.

    Example
    -------
    >>> from speechbrain_mal.inference import MALEnhancement
    >>> enhancer = MALEnhancement.from_hparams(shipped_model())
    >>> enhancer.hparams.sample_rate
    16000
    """
    package = Path(__file__).resolve().parent.parent
    # A wheel has them inside the package, a clone beside it.
    places = package / "pretrained", package.parent / "pretrained"
    root = next(filter(Path.is_dir, places), None)
    if root is None:
        raise ValueError("This installation has no folder of enhancers: reinstall it.")
    names = sorted(path.parent.name for path in root.glob("*/config.json"))
    if name not in names:
        raise ValueError(f"No enhancer {name!r} comes with the package: {names}.")
    return root / name
