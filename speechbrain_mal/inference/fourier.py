"""The Fourier transform of a frame as products of small real matrices, for ONNX.

ONNX has no complex numbers, and its own transform is slow. With `n_fft = rows *
columns`, Cooley and Tukey's first step is enough: transforms of `rows` numbers, a turn
of each result, transforms of `columns` numbers.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RealFourier(nn.Module):
    """`torch.fft.rfft` and `irfft` of one windowed frame, in real numbers.

    Arguments
    ---------
    window : Tensor
        `[n_fft]`, by which frames are multiplied in both directions.
    scale : float
        Factor of the spectrum.
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
        # On the way back, bins but the first and, of an even n_fft, the last stand for
        # two; and those that are kept beyond the last for none.
        bin_ = torch.arange(self.kept * rows)
        twice = (bin_ < self.bins) * (2 - (bin_ * 2 % n_fft == 0).double())
        for name, value in {
            "window_in": window * scale,
            "first": torch.cat([first.real, first.imag]),
            "turn": torch.stack([turn.real, turn.imag]),
            "second": _as_real(second),
            "twice": twice[: self.bins, None],
            "second_back": _as_real(second.conj().t()),
            "first_back": torch.cat([first.real, first.imag], dim=1),
            "window_out": window,
        }.items():
            self.register_buffer(name, value.float().contiguous(), persistent=False)

    def transform(self, samples: Tensor) -> Tensor:
        """Map a frame `[1, n_fft]` to its spectrum `[1, 1, bins, 2]`."""
        x = samples.view(self.rows, self.columns) * self.window_in
        real, imaginary = (self.first @ x).view(2, self.rows, self.columns).unbind()
        c, s = self.turn.unbind()
        turned = [real * c - imaginary * s, real * s + imaginary * c]
        parts = torch.cat(turned, dim=1) @ self.second  # [k1, 2 * k2]
        parts = parts.view(self.rows, 2, self.kept).permute(2, 0, 1)
        return parts.reshape(-1, 2)[None, None, : self.bins]

    def overlap_add(self, spectrum: Tensor) -> Tensor:
        """Map `[1, 1, bins, 2]` to a frame `[1, n_fft]`: unscaled, times the window."""
        x = spectrum[0, 0] * self.twice
        x = F.pad(x, (0, 0, 0, self.kept * self.rows - self.bins))
        x = x.view(self.kept, self.rows, 2).permute(1, 2, 0).reshape(self.rows, -1)
        real, imaginary = (x @ self.second_back).view(self.rows, 2, -1).unbind(1)
        c, s = self.turn.unbind()
        turned = [real * c + imaginary * s, imaginary * c - real * s]
        frame = self.first_back @ torch.cat(turned)  # the real part
        return (frame * self.window_out).view(1, -1)


def _turns(numbers: Tensor, period: int) -> Tensor:
    """Return `exp(-2 pi i n / period)`."""
    angle = -2 * math.pi * (numbers % period).double() / period
    return torch.polar(torch.ones_like(angle), angle)


def _as_real(matrix: Tensor) -> Tensor:
    """Return the real matrix by which `[re, im]` of rows are multiplied."""
    top = torch.cat([matrix.real, matrix.imag], dim=1)
    return torch.cat([top, torch.cat([-matrix.imag, matrix.real], dim=1)])
