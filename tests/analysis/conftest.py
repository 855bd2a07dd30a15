"""What tests of several files are given."""

import numpy as np
import pytest
import soundfile


@pytest.fixture
def noisy(tmp_path):
    files = {}
    for i in range(2):
        files[f"clip{i}"] = path = tmp_path / f"clip{i}.wav"
        soundfile.write(path, 0.3 * np.random.default_rng(i).normal(size=8000), 16000)
    return files
