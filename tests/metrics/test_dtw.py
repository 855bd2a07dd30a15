import time

import numpy as np
import pytest

from speechbrain_mal.metrics.dtw import fast_dtw


def cost(first, second, path):
    return np.linalg.norm(first[path[0]] - second[path[1]], axis=1).sum()


def exact_cost(first, second):
    distances = np.linalg.norm(first[:, None] - second, axis=2)
    total = np.full((len(first) + 1, len(second) + 1), np.inf)
    total[0, 0] = 0
    for i, row in enumerate(distances):
        for j, distance in enumerate(row):
            before = min(total[i, j], total[i, j + 1], total[i + 1, j])
            total[i + 1, j + 1] = distance + before
    return total[-1, -1]


@pytest.fixture
def walk():
    steps = np.random.default_rng(0).standard_normal((60, 3))
    return np.cumsum(steps, axis=0)


@pytest.mark.parametrize("lengths", [(1, 1), (1, 7), (2, 9), (60, 60), (60, 37)])
def test_a_path_has_no_gaps(lengths, walk):
    rows, columns = fast_dtw(walk[: lengths[0]], walk[::-1][: lengths[1]])
    assert (rows[0], columns[0]) == (0, 0)
    assert (rows[-1] + 1, columns[-1] + 1) == lengths
    steps = {tuple(step) for step in np.diff([rows, columns]).T.tolist()}
    assert steps <= {(0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(("radius", "excess"), [(60, 1e-9), (1, 0.01)])
def test_a_path_is_near_the_shortest_and_with_a_large_radius_it(walk, radius, excess):
    other = (walk + 0.1 * np.random.default_rng(1).standard_normal(walk.shape))[:50]
    found = cost(walk, other, fast_dtw(walk, other, radius))
    assert found == pytest.approx(exact_cost(walk, other), rel=excess)


def test_equal_frames_advance_together():
    # as the compiled fastdtw settles ties
    silence = np.zeros((50, 3))
    rows, columns = fast_dtw(silence, silence)
    assert (rows == np.arange(50)).all() and (columns == rows).all()


def test_time_is_linear():
    def seconds(n):
        sequence = np.random.default_rng(0).standard_normal((n, 2))
        start = time.process_time()
        fast_dtw(sequence, sequence + 0.1)
        return time.process_time() - start

    seconds(100)
    # 10 if linear, 100 if quadratic; the clock is coarse
    assert seconds(5000) < 40 * seconds(500)
