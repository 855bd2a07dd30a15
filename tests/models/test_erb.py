"""ERB bands divide the bins."""

import pytest

from speechbrain_mal.models.erb import erb_widths


@pytest.mark.parametrize("sizes", [(48000, 960, 32), (16000, 320, 32), (8000, 256, 24)])
@pytest.mark.parametrize("min_bins", [1, 2])
def test_erb_bands_cover_all_bins_once(sizes, min_bins):
    rate, n_fft, bands = sizes
    widths = erb_widths(rate, n_fft, bands, min_bins)
    assert len(widths) == bands
    assert sum(widths) == n_fft // 2 + 1
    assert min(widths) >= min_bins


def test_high_erb_bands_are_wider():
    widths = erb_widths(48000, 960)
    assert widths[-2] > 5 * widths[0]
