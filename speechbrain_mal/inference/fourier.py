"""The Fourier transform of a frame as products of small real matrices.

ONNX has no complex numbers, and its transform of a frame of 960 samples is slow. With
`n_fft = rows * columns`, Cooley and Tukey's first step is enough: transforms of `rows`
numbers, a turn of each result, transforms of `columns` numbers.
"""

import math

import torch
from torch import Tensor, nn


class RealFourier(nn.Module):
    """`torch.fft.rfft` and `irfft` of windowed frames, in real numbers.

    Arguments
    ---------
    window : Tensor
        `[n_fft]`, by which frames are multiplied in both directions.
    scale : float
        Factor of the spectrum.

    Example
    -------
    >>> fourier = RealFourier(torch.hann_window(96), scale=0.5)
    >>> frame = torch.randn(96)
    >>> spectrum = 0.5 * torch.fft.rfft(torch.hann_window(96) * frame)
    >>> parts = fourier.transform(frame)
    >>> torch.allclose(torch.view_as_complex(parts), spectrum, atol=1e-5)
    True
    """

    def __init__(self, window: Tensor, scale: float):
        super().__init__()
        n_fft = len(window)
        self.bins = n_fft // 2 + 1
        rows = max(r for r in range(1, math.isqrt(n_fft) + 1) if n_fft % r == 0)
        self.rows, self.columns = rows, n_fft // rows
        self.kept = -(-self.bins // rows)  # results of the second step that bins need
        row, column = torch.arange(rows), torch.arange(self.columns)
        # Sample `columns * n1 + n2`, bin `k1 + rows * k2`.
        first = _turns(row[:, None] * row, rows)  # [k1, n1]
        turn = _turns(row[:, None] * column, n_fft)  # [k1, n2]
        second = _turns(column[:, None] * column[: self.kept], self.columns)
        window = window.double().view(rows, self.columns)
        self._keep("window_in", window * scale)
        self._keep("first", torch.cat([first.real, first.imag]))
        self._keep("turn", torch.stack([turn.real, turn.imag]))
        self._keep("second", _as_real(second))
        # Bins but the first and, for an even n_fft, the last stand for two.
        twice = torch.full((self.kept * rows,), 2.0, dtype=torch.float64)
        twice[0] = 1
        if n_fft % 2 == 0:
            twice[self.bins - 1] = 1
        self._keep("twice", twice[: self.bins, None])
        self._keep("second_back", _as_real(second.conj().t()))
        self._keep("first_back", torch.cat([first.real, first.imag], dim=1))
        self._keep("window_out", window)

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.float().contiguous(), persistent=False)

    def transform(self, frame: Tensor) -> Tensor:
        """Map a frame `[n_fft]` to real and imaginary parts, `[bins, 2]`."""
        x = frame.view(self.rows, self.columns) * self.window_in
        real, imaginary = (self.first @ x).view(2, self.rows, self.columns).unbind()
        c, s = self.turn.unbind()
        turned = [real * c - imaginary * s, real * s + imaginary * c]
        parts = torch.cat(turned, dim=1) @ self.second  # [k1, 2 * k2]
        parts = parts.view(self.rows, 2, self.kept).permute(2, 0, 1)
        return parts.reshape(-1, 2)[: self.bins]

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Map `[bins, 2]` to a frame `[n_fft]`: unscaled inverse, times the window."""
        x = nn.functional.pad(
            spectrum * self.twice, (0, 0, 0, self.kept * self.rows - self.bins)
        )
        x = x.view(self.kept, self.rows, 2).permute(1, 2, 0).reshape(self.rows, -1)
        real, imaginary = (x @ self.second_back).view(self.rows, 2, -1).unbind(1)
        c, s = self.turn.unbind()
        turned = [real * c + imaginary * s, imaginary * c - real * s]
        frame = self.first_back @ torch.cat(turned)  # the real part
        return (frame * self.window_out).flatten()


def _turns(numbers: Tensor, period: int) -> Tensor:
    """Return `exp(-2 pi i n / period)`."""
    angle = -2 * math.pi * (numbers % period).double() / period
    return torch.polar(torch.ones_like(angle), angle)


def _as_real(matrix: Tensor) -> Tensor:
    """Return the real matrix by which `[re, im]` of rows are multiplied."""
    top = torch.cat([matrix.real, matrix.imag], dim=1)
    return torch.cat([top, torch.cat([-matrix.imag, matrix.real], dim=1)])
