"""What no metric is defined for."""

import numpy as np


def refuse_silence(metric: str, **clips: np.ndarray) -> None:
    """Raise where a clip has no sound.

    Packages differ: one raises, one returns NaN, one a number that means nothing.

    Arguments
    ---------
    metric : str
        Named in the error.
    **clips : np.ndarray
        Waveforms, `[samples]`, by the name the error gives them.

    Raises
    ------
    ValueError
        When a clip is empty or all zeros.

    Example
    -------
    >>> refuse_silence("PESQ", clean=np.zeros(8))
    Traceback (most recent call last):
    ValueError: PESQ: the clean clip is silent
    """
    for name, clip in clips.items():
        if not np.any(clip):
            raise ValueError(f"{metric}: the {name} clip is silent")
