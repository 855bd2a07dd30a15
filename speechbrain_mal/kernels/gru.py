"""A GRU layer on a GPU: one kernel over all frames, and one over all frames back.

With 256 units cuDNN starts two kernels a frame and layer. On one H100, a layer of 302
frames takes 2.5 ms there and back for 8 clips and 3.6 for 96, where cuDNN takes 13.3
and 12.5 (float32; bfloat16, for 96: 3.1 and 12.4).

The hidden units are spread over programs that all run at once. Each keeps its slice of
the recurrent weights, and reads the others' share of the state where they leave it, in
the output itself: what is not there yet is a NaN of bits that arithmetic never gives,
`ABSENT` as an integer.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

ABSENT = -1
ROWS = 16  # clips of a program: the least that a tensor core takes
UNITS = 16  # hidden units of a program
WARPS = {"there": 4, "back": 8}  # of a program; as many both ways would be slower
SIZES = (256,)  # hidden units; cuDNN is faster with half of them
PRECISION = "tf32"  # of products of float32
KEPT = 5  # numbers of a frame and unit that the way back takes


@triton.jit
def _forward(
    inputs,  # [B, T, 3 H]: the inputs' share of reset, update and new gate
    weight,  # [3 H, H]
    bias,  # [3 H]
    initial,  # [B, H]
    states,  # [B, T, H], absent
    kept,  # [B, T, KEPT, H]
    batch,
    frames,
    first_tile,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    KEEP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    first_unit = tl.program_id(0) * UNITS
    units = first_unit + tl.arange(0, UNITS)[None, :]
    rows = (first_tile + tl.program_id(1)) * ROWS + tl.arange(0, ROWS)[:, None]
    every = tl.arange(0, SIZE)
    inside = rows < batch
    first = rows.to(tl.int64) * frames  # of each clip, as a row of [B * T, ...]
    kept += first * 5 * SIZE + units
    own_states = states + first * SIZE + units
    all_states = states + first * SIZE + every[None, :]

    # One product a frame gives what all gates need, side by side: the sums of reset
    # and update gate, `U h + b` of the new one, and in place of a fourth, its input.
    column = tl.arange(0, 4 * UNITS)
    part = column // UNITS
    gate = tl.minimum(part, 2)
    column = gate * SIZE + first_unit + column % UNITS
    pointers = weight + column[None, :] * SIZE + every[:, None]
    w = _rounded(tl.load(pointers, part[None, :] < 3, other=0.0), PRECISION)
    b = tl.load(bias + column, part < 3, other=0.0).to(tl.float32)[None, :]
    inputs += first * 3 * SIZE + column[None, :]
    taken = (part != 2)[None, :]

    state = tl.load(initial + rows * SIZE + units, inside, other=0.0).to(tl.float32)
    joint = tl.load(initial + rows * SIZE + every[None, :], inside, other=0.0)
    x = tl.load(inputs, inside & taken, other=0.0).to(tl.float32)
    for t in range(frames):
        joint = _rounded(joint, PRECISION)
        sums = tl.dot(joint, w, x + b, input_precision=PRECISION)
        sums = sums.reshape(ROWS, 2, 2, UNITS).permute(0, 3, 1, 2)
        even, odd = tl.split(sums)
        reset, u_new = tl.split(even)
        update, x_new = tl.split(odd)
        reset, update = tl.sigmoid(reset), tl.sigmoid(update)
        new = 2 * tl.sigmoid(2 * (x_new + reset * u_new)) - 1  # tanh
        change = state - new
        state = new + update * change
        tl.store(own_states, state.to(states.dtype.element_ty), inside)
        # The next frame's inputs are on their way while this one waits for the others.
        inputs += 3 * SIZE
        more = inside & (t + 1 < frames)
        x = tl.load(inputs, more & taken, other=0.0).to(tl.float32)
        if KEEP:  # how the gates' sums move with the new state, and it with the old
            dtype = kept.dtype.element_ty
            d_new = (1 - update) * (1 - new * new)
            d_reset = d_new * u_new * reset * (1 - reset)
            tl.store(kept, d_reset.to(dtype), inside)
            d_update = change * update * (1 - update)
            tl.store(kept + SIZE, d_update.to(dtype), inside)
            tl.store(kept + 2 * SIZE, (d_new * reset).to(dtype), inside)
            tl.store(kept + 3 * SIZE, d_new.to(dtype), inside)
            tl.store(kept + 4 * SIZE, update.to(dtype), inside)
            kept += 5 * SIZE
        joint = _arrived(all_states, more)
        own_states += SIZE
        all_states += SIZE


@triton.jit
def _backward(
    grad,  # [B, T, H], of the states
    weight,  # [3 H, H]
    kept,  # [B, T, KEPT, H]
    grad_inputs,  # [B, T, 3 H]
    grad_recurrent,  # [B, T, 3 H], absent: of U h + b
    grad_initial,  # [B, H]
    batch,
    frames,
    first_tile,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    PIECES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    units = tl.program_id(0) * UNITS + tl.arange(0, UNITS)[None, :]
    rows = (first_tile + tl.program_id(1)) * ROWS + tl.arange(0, ROWS)[:, None]
    inside = rows < batch
    last = rows.to(tl.int64) * frames + frames - 1
    grad += last * SIZE + units
    kept += last * 5 * SIZE + units
    grad_inputs += last * 3 * SIZE + units
    own = grad_recurrent + last * 3 * SIZE + units
    dtype = grad_inputs.dtype.element_ty

    # The sum over all gates and units is cut into pieces, one for each warp.
    length: tl.constexpr = 4 * SIZE // PIECES
    piece = tl.arange(0, PIECES)[:, None] * length
    column = piece + tl.arange(0, length)[None, :]
    exists = column < 3 * SIZE
    pointers = weight + column[:, :, None] * SIZE + units[None, :, :]
    w = _rounded(tl.load(pointers, exists[:, :, None], other=0.0), PRECISION)
    everyone = grad_recurrent + last[None, :, :] * 3 * SIZE + column[:, None, :]
    wanted = exists[:, None, :] & inside[None, :, :]

    past = tl.zeros([ROWS, UNITS], tl.float32)
    grad_t = tl.load(grad, inside, other=0.0).to(tl.float32)
    d_reset = tl.load(kept, inside, other=0.0).to(tl.float32)
    d_update = tl.load(kept + SIZE, inside, other=0.0).to(tl.float32)
    d_recurrent = tl.load(kept + 2 * SIZE, inside, other=0.0).to(tl.float32)
    d_new = tl.load(kept + 3 * SIZE, inside, other=0.0).to(tl.float32)
    update = tl.load(kept + 4 * SIZE, inside, other=0.0).to(tl.float32)
    for t in range(frames):
        total = past + grad_t
        through_reset = (total * d_reset).to(dtype)
        through_update = (total * d_update).to(dtype)
        tl.store(own, through_reset, inside)
        tl.store(own + SIZE, through_update, inside)
        tl.store(own + 2 * SIZE, (total * d_recurrent).to(dtype), inside)
        tl.store(grad_inputs, through_reset, inside)
        tl.store(grad_inputs + SIZE, through_update, inside)
        tl.store(grad_inputs + 2 * SIZE, (total * d_new).to(dtype), inside)
        past = total * update
        # The frame before is on its way while this one waits for the others.
        grad -= SIZE
        kept -= 5 * SIZE
        more = inside & (t + 1 < frames)
        grad_t = tl.load(grad, more, other=0.0).to(tl.float32)
        d_reset = tl.load(kept, more, other=0.0).to(tl.float32)
        d_update = tl.load(kept + SIZE, more, other=0.0).to(tl.float32)
        d_recurrent = tl.load(kept + 2 * SIZE, more, other=0.0).to(tl.float32)
        d_new = tl.load(kept + 3 * SIZE, more, other=0.0).to(tl.float32)
        update = tl.load(kept + 4 * SIZE, more, other=0.0).to(tl.float32)
        joint = _rounded(_arrived(everyone, wanted), PRECISION)
        past += tl.sum(tl.dot(joint, w, input_precision=PRECISION), axis=0)
        grad_inputs -= 3 * SIZE
        own -= 3 * SIZE
        everyone -= 3 * SIZE
    initial = grad_initial + rows * SIZE + units
    tl.store(initial, past.to(grad_initial.dtype.element_ty), inside)


@triton.jit
def _arrived(pointers, wanted):
    """Load what the programs store, once all of it is there."""
    values = tl.load(pointers, wanted, other=0.0, volatile=True)
    while tl.max(_absent(values)) > 0:
        values = tl.load(pointers, wanted, other=0.0, volatile=True)
    return values


@triton.jit
def _absent(values):
    if values.dtype.primitive_bitwidth == 16:
        bits = values.to(tl.int16, bitcast=True)
    else:
        bits = values.to(tl.int32, bitcast=True)
    return (bits == -1).to(tl.int32)


@triton.jit
def _rounded(values, PRECISION: tl.constexpr):
    """Round to TF32's 10 bits; a tensor core would cut off the others."""
    if PRECISION == "tf32" and values.dtype.primitive_bitwidth == 32:
        bits = values.to(tl.int32, bitcast=True) + 0x1000
        values = (bits & -0x2000).to(tl.float32, bitcast=True)
    return values


def gru_layer(
    x: Tensor, initial: Tensor, parameters: Sequence[Tensor], keep: bool
) -> Tensor:
    """Return a layer's states `[B, T, H]`, of `[B, T, I]` and the `[B, H]` before.

    Parameters, in `nn.GRU`'s order, take the type of the input; the state that a
    program carries on is float32. `keep` keeps what a way back needs.
    """
    return _Layer.apply(x, initial, *parameters, keep)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        initial: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        keep: bool,
    ) -> Tensor:
        batch, frames, size = x.shape[0], x.shape[1], w_hh.shape[1]
        x, initial = x.contiguous(), initial.to(x.dtype).contiguous()
        w_ih, w_hh, b_ih, b_hh = (w.to(x.dtype) for w in (w_ih, w_hh, b_ih, b_hh))
        with _precision_of_cudnn():
            inputs = torch.addmm(b_ih, x.flatten(0, 1), w_ih.t())
        states = _absent_tensor(x, batch, frames, size)
        kept = x.new_empty((batch, frames, KEPT, size) if keep else 1)
        arguments = (inputs, w_hh, b_hh, initial, states, kept)
        _launch(_forward, x, size, arguments, WARPS["there"], KEEP=keep)
        if keep:
            ctx.save_for_backward(x, initial, w_ih, w_hh, states, kept)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, initial, w_ih, w_hh, states, kept = ctx.saved_tensors
        batch, frames, size = states.shape
        inputs = x.new_empty(batch, frames, 3 * size)
        recurrent = _absent_tensor(x, batch, frames, 3 * size)
        before = torch.empty_like(initial)
        arguments = (grad.contiguous(), w_hh, kept, inputs, recurrent, before)
        warps = WARPS["back"]
        _launch(_backward, x, size, arguments, warps, PIECES=warps)
        inputs, recurrent = inputs.flatten(0, 1), recurrent.flatten(0, 1)
        grads: list[Tensor | None] = [None] * 7
        with _precision_of_cudnn():
            if ctx.needs_input_grad[0]:
                grads[0] = (inputs @ w_ih).view_as(x)
            grads[1] = before
            if ctx.needs_input_grad[2]:  # not in a frozen encoder
                past = torch.cat([initial[:, None], states[:, :-1]], dim=1)
                grads[2] = (inputs.t() @ x.flatten(0, 1)).float()
                grads[3] = (recurrent.t() @ past.flatten(0, 1)).float()
                grads[4] = inputs.sum(0, dtype=torch.float32)
                grads[5] = recurrent.sum(0, dtype=torch.float32)
        return tuple(grads)


def fits(x: Tensor, size: int) -> bool:
    """Return whether `gru_layer` takes this input `[B, T, I]`, for so many units."""
    if not x.is_cuda or size not in SIZES or not hasattr(torch.backends.cudnn, "rnn"):
        return False
    if x.dtype == torch.float32 and torch.backends.cudnn.rnn.fp32_precision != "tf32":
        return False  # the tensor cores' float32 is what these kernels are about
    device = torch.cuda.get_device_properties(x.device)
    return (
        device.major >= 8
        and device.shared_memory_per_block_optin >= 128 * size * x.element_size()
        and device.multi_processor_count >= size // UNITS
    )


def _launch(
    kernel: Any,
    x: Tensor,
    size: int,
    arguments: tuple[Tensor, ...],
    warps: int,
    **constants: int,
) -> None:
    """Start a kernel for as many clips at a time as can run at once."""
    batch, frames = x.shape[:2]
    tiles, slices = triton.cdiv(batch, ROWS), size // UNITS
    at_once = tiles
    if x.is_cuda:
        device = torch.cuda.get_device_properties(x.device)
        at_once = device.multi_processor_count // slices
    for first in range(0, tiles, at_once):
        kernel[slices, min(at_once, tiles - first)](
            *arguments,
            batch,
            frames,
            first,
            SIZE=size,
            ROWS=ROWS,
            UNITS=UNITS,
            PRECISION=PRECISION,
            num_warps=warps,
            launch_cooperative_grid=True,  # all at once, or none: they wait for others
            **constants,
        )


def _absent_tensor(like: Tensor, *shape: int) -> Tensor:
    bits = torch.int16 if like.element_size() == 2 else torch.int32
    return torch.full(shape, ABSENT, dtype=bits, device=like.device).view(like.dtype)


@contextlib.contextmanager
def _precision_of_cudnn() -> Iterator[None]:
    """Let the matrix products before and after the frames round as cuDNN's would."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = torch.backends.cudnn.rnn.fp32_precision
    try:
        yield
    finally:
        matmul.fp32_precision = before
