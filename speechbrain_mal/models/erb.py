"""The ERB bands of the public package `deepfilternet`, as libDF divides them."""

import math


def erb_widths(
    sample_rate: int, n_fft: int, bands: int = 32, min_bins: int = 2
) -> list[int]:
    """Return the STFT bins of each ERB-spaced band, low to high, as libDF divides them.

    The widths add up to `n_fft // 2 + 1`. A band has `min_bins` at least; those that it
    borrows are missing from the next bands. Too many bands are a ValueError.

    Example
    -------
    >>> erb_widths(16000, 320)[:4], sum(erb_widths(16000, 320))
    ([2, 2, 2, 2], 161)
    """
    bins = n_fft // 2 + 1
    if bands * min_bins > bins:
        raise ValueError(
            f"{bands} ERB bands of at least {min_bins} bins need {bands * min_bins} "
            f"STFT bins, but an FFT of {n_fft} has {bins}: use fewer bands."
        )
    erb_high = 9.265 * math.log1p(sample_rate // 2 / (24.7 * 9.265))
    widths, previous, borrowed = [], 0, 0
    for band in range(1, bands + 1):
        edge_hz = 24.7 * 9.265 * math.expm1(band * erb_high / bands / 9.265)
        edge = math.floor(edge_hz / (sample_rate / n_fft) + 0.5)
        width = edge - previous - borrowed
        borrowed = max(min_bins - width, 0)
        widths.append(max(width, min_bins))
        previous = edge
    widths[-1] += bins - sum(widths)
    return widths
