"""Dynamic time warping in linear time (Salvador and Chan, "FastDTW", 2007)."""

import numpy as np

INFINITY = float("inf")


def fast_dtw(
    first: np.ndarray, second: np.ndarray, radius: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return a path of small Euclidean distance between two sequences.

    The sequences `[frames, features]` are halved until they are short, and each path is
    refined within `radius` frames of the one of half the resolution. Time and memory
    grow with the lengths, not with their product; the path is not always the very
    shortest. The result is the indices into both, `[steps]`.

    Example
    -------
    >>> fast_dtw(np.array([[0.0], [1], [5]]), np.array([[0.0], [0], [1], [5]]))
    (array([0, 0, 1, 2]), array([0, 1, 2, 3]))
    """
    n_rows, n_columns = len(first), len(second)
    if min(n_rows, n_columns) < radius + 2:
        low, high = np.zeros(n_rows, int), np.full(n_rows, n_columns - 1)
    else:
        coarse = fast_dtw(_halved(first), _halved(second), radius)
        low, high = _band_around(*coarse, n_rows, n_columns, radius)
    return _path_in_band(first, second, low, high)


def _halved(sequence: np.ndarray) -> np.ndarray:
    even = len(sequence) // 2 * 2
    return (sequence[:even:2] + sequence[1:even:2]) / 2


def _band_around(
    rows: np.ndarray, columns: np.ndarray, n_rows: int, n_columns: int, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's first and last column within `radius` of a coarse path."""
    coarse_rows = np.arange(rows[-1] + 1)
    first = columns[np.searchsorted(rows, coarse_rows, "left")]
    last = columns[np.searchsorted(rows, coarse_rows, "right") - 1]
    row = np.arange(n_rows) // 2
    low = first[np.clip(row - radius, 0, rows[-1])] - radius
    high = last[np.clip(row + radius, 0, rows[-1])] + radius
    return np.maximum(2 * low, 0), np.minimum(2 * high + 1, n_columns - 1)


def _path_in_band(
    first: np.ndarray, second: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    widths = high - low + 1
    starts = np.cumsum(widths) - widths
    rows = np.repeat(np.arange(len(first)), widths)
    columns = np.arange(widths.sum()) - (starts - low)[rows]
    distances = np.linalg.norm(first[rows] - second[columns], axis=1).tolist()

    came_from = bytearray()  # 0: both advanced, 1: the first, 2: the second
    above, above_low = [0.0], -1  # so that the path can start at (0, 0)
    for start, column, width in zip(
        starts.tolist(), low.tolist(), widths.tolist(), strict=True
    ):
        skipped = column - above_low
        above = ([INFINITY, *above] + [INFINITY] * width)[skipped:]
        left, costs = INFINITY, []
        for k in range(width):
            diagonal, up = above[k], above[k + 1]
            if up < left and up < diagonal:
                best, move = up, 1
            elif left < diagonal:
                best, move = left, 2
            else:
                best, move = diagonal, 0
            left = best + distances[start + k]
            costs.append(left)
            came_from.append(move)
        above, above_low = costs, column

    path = []
    i, j = len(first) - 1, int(high[-1])
    while i >= 0 and j >= 0:
        path.append((i, j))
        move = came_from[starts[i] + j - low[i]]
        i, j = i - (move != 2), j - (move != 1)
    return tuple(np.array(path[::-1]).T)
