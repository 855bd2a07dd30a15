"""Finished runs: their enhancers, and those as folders that others load."""

from speechbrain_mal.lazy import lazily

_HOMES = {
    "enhancement_of": "runs",
    "export": "folder",
    "load_run": "runs",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
