"""What larger trainings use: accumulated gradients, bfloat16, torch.compile."""

import functools

import pytest
import torch
from recipe_run import (
    BOTH_PHASES,
    EnhanceBrain,
    fit,
    make_brain,
    short,
    with_conv_tasnet,
)
from toy_enhancer import same

# A checkpoint whenever there may be one.
OFTEN = {"ckpt_interval_steps": 1, "ckpt_interval_minutes": 0}


class Noted(EnhanceBrain):
    """Note the losses of training, and where checkpoints within an epoch are saved."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.losses, self.saved_at = [], []

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        self.losses.append(loss.item())

    def _save_intra_epoch_ckpt(self):
        self.saved_at.append(self.step)


def accumulate(folder, batch_size, factor):
    """Train Conv-TasNet: no BatchNorm, whose statistics are a whole batch's."""
    system = with_conv_tasnet("mal_ema", folder)
    run_opts = short(3 * factor, grad_accumulation_factor=factor, **OFTEN)
    options = {**BOTH_PHASES, "lr": 0.02, "phase_two_lr": 0.02}
    options["batch_size"] = batch_size
    brain = make_brain(folder / str(factor), system, Noted, run_opts, **options)
    # Adam divides by the gradient's size: where that is 0 but for rounding, it doubles
    # nothing into a whole step. The scale would be the first half batch's.
    brain.opt_class = torch.optim.SGD
    brain.loss.added["mal"].balance = "coefficient"
    brain.loss.added["mal"].weight = 100.0
    return fit(brain)


def test_two_half_batches_are_one_whole(tmp_path):
    whole, halves = accumulate(tmp_path, 8, 1), accumulate(tmp_path, 4, 2)
    assert len(halves.losses) == 2 * len(whole.losses) == 12
    pairs = [(a + b) / 2 for a, b in zip(*[iter(halves.losses)] * 2, strict=True)]
    # Sums of float32 in another order, carried through six steps.
    torch.testing.assert_close(pairs, whole.losses, rtol=1e-4, atol=0)
    # Phases make much of rounding: by processor and first weights 0.004 to 0.023 of the
    # way that all weights went. A batch left out or counted twice: 0.5.
    start = make_brain(tmp_path / "1", tmp_path / "mal_ema.yaml", **BOTH_PHASES)
    begun, one, two = (
        torch.cat([x.flatten() for x in brain.enhancer.state_dict().values()])
        for brain in (start, whole, halves)
    )
    way = (one - begun).norm()
    assert way > 0.01
    assert (two - one).norm() < 0.05 * way
    # One average a step, and no checkpoint that would lose half a step's gradient.
    # The last step's average is taken in before the next batch.
    mal, other = (brain.loss.added["mal"].loss for brain in (halves, whole))
    assert mal.get_extra_state()["averaged"] == 3
    assert other.get_extra_state()["averaged"] == 3
    assert halves.saved_at == 2 * [2, 4]


def test_bfloat16_trains_alike(tmp_path):
    losses, dtypes = {}, []
    for precision in ("fp32", "bf16"):
        folder, run_opts = tmp_path / precision, short(3, precision=precision)
        brain = make_brain(folder, "mal_dynamic", Noted, run_opts, **BOTH_PHASES)
        dtypes = [set(), set()]
        encoders = brain.enhancer.encoder, brain.loss.added["mal"].loss.encoder
        for encoder, seen in zip(encoders, dtypes, strict=True):
            encoder.erb_conv1.register_forward_hook(
                lambda module, inputs, output, seen=seen: seen.add(output.dtype)
            )
        losses[precision] = fit(brain).losses
    assert torch.bfloat16 in dtypes[0] and dtypes[1] == {torch.float32}
    # bfloat16 rounds to 2 ** -8 = 0.4 %, in every layer and of six steps' weights.
    torch.testing.assert_close(losses["bf16"], losses["fp32"], rtol=0.03, atol=0)
    assert losses["bf16"] != losses["fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("system", ["mal_dynamic", "mal_frozen_fe"])
def test_compiled_enhancer_trains_alike(tmp_path, monkeypatch, system):
    # What can go wrong in the Brain does with any backend; this one needs no compiler.
    compile_eagerly = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compile_eagerly)
    options = {"compile": True, "compile_module_keys": ["enhancer"]}
    system = with_conv_tasnet(system, tmp_path)
    plain, compiled = (
        fit(
            make_brain(
                tmp_path / name, system, Noted, short(3, **further), **BOTH_PHASES
            )
        )
        for name, further in (("plain", {}), ("compiled", {**options, **OFTEN}))
    )
    assert compiled.modules.enhancer is not compiled.enhancer
    # The same kernels, but the graph's gradients may be summed in another order.
    torch.testing.assert_close(compiled.losses, plain.losses, rtol=1e-3, atol=0)
    # The MAL-encoder follows what the compiled module computes with.
    mal = compiled.loss.added["mal"].loss
    mal.refresh()
    assert same(mal.encoder, compiled.modules.enhancer.encoder)
    # Without compiling, the run goes on from its checkpoint.
    resumed = make_brain(tmp_path / "compiled", system, **BOTH_PHASES)
    resumed.on_evaluate_start()
    torch.testing.assert_close(
        resumed.enhancer.state_dict(), compiled.enhancer.state_dict(), rtol=0, atol=0
    )
