"""DeepFilterNet2 as an enhancer and its encoder as a source of features."""

import math

import pytest
import torch

from speechbrain_mal.models import DeepFilterNet2
from speechbrain_mal.models.layers import GroupedLinear

RATE, HOP = 16000, 160
SIZES = {
    "sample_rate": RATE,
    "channels": 8,
    "embedding_size": 32,
    "df_hidden_size": 32,
}

# Relative to the largest value: the scan's and the matrix products' sums have another
# order when the batch has another size; that makes about 5e-7 in single precision.
SINGLE_PRECISION = 1e-5


def noise(*shape, seed=0):
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make_model(**changes):
    torch.manual_seed(0)
    return DeepFilterNet2(**{**SIZES, **changes}).eval()


@pytest.fixture(scope="module")
def model():
    return make_model().requires_grad_(False)


def assert_near(actual, expected, tolerance=SINGLE_PRECISION):
    limit = tolerance * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


def padded_batch(counts):
    clips = [noise(1, count, seed=i) for i, count in enumerate(counts)]
    size = max(counts)
    batch = [torch.nn.functional.pad(clip, (0, size - clip.shape[1])) for clip in clips]
    return clips, torch.cat(batch), torch.tensor(counts) / size


# Batches

COUNTS = (16000, 9601, 4037)  # one is no multiple of the hop, one just misses one


def test_padded_batch_is_enhanced_as_its_clips_are_one_by_one(model):
    clips, batch, lengths = padded_batch(COUNTS)
    enhanced = model(batch, lengths)
    for row, clip in zip(enhanced, clips, strict=True):
        assert_near(row[None, : clip.shape[1]], model(clip))


def test_padding_matters_without_lengths(model):
    # Otherwise the test above would say nothing.
    clips, batch, _ = padded_batch(COUNTS)
    short = clips[2]
    difference = model(batch)[2, : short.shape[1]] - model(short)
    assert difference.abs().max() > 1e-3 * short.abs().max()


def test_encoder_gives_every_stage_of_a_clip_whatever_its_padding(model):
    clips, batch, lengths = padded_batch(COUNTS)
    frames = model.encoder.frames(batch, lengths)
    together = model.encoder(batch, lengths).stages
    for i, clip in enumerate(clips):
        alone = model.encoder(clip).stages
        assert len(alone) == 7
        for stage, expected in zip(together, alone, strict=True):
            assert expected.shape[1] == frames[i]
            assert_near(stage[i : i + 1, : frames[i]], expected)


def test_lengths_of_whole_clips_change_nothing(model):
    batch = noise(2, 4000)
    torch.testing.assert_close(
        model(batch, torch.ones(2)), model(batch), rtol=0, atol=0
    )


# Time


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 16000])
def test_output_has_the_length_of_the_input(model, samples):
    assert model(noise(2, samples)).shape == (2, samples)


def test_output_is_aligned_with_the_input():
    # Gains of one and a filter that takes the present frame alone: the identity,
    # to the sample, through every part that could shift the signal.
    model = make_model()
    noisy = noise(1, 4037)
    spectrum = model.encoder.front_end.analysis(noisy)
    taps = torch.zeros(1, spectrum.shape[1], 96, model.df_order, dtype=spectrum.dtype)
    taps[..., model.df_order - 1 - model.df_lookahead] = 1
    filtered = model.deep_filter(spectrum, taps)
    again = model.encoder.front_end.synthesis(filtered, noisy.shape[1])
    torch.testing.assert_close(again, noisy, rtol=0, atol=1e-6)


@pytest.mark.parametrize("df_lookahead", [0, 2, 4])
def test_first_tap_takes_the_oldest_frame(df_lookahead):
    model = make_model(df_lookahead=df_lookahead)
    spectrum = torch.zeros(1, 12, 161, dtype=torch.complex64)
    spectrum[0, 6] = 1 + 2j
    taps = torch.zeros(1, 12, 96, 5, dtype=torch.complex64)
    taps[..., 0] = 1j
    filtered = model.deep_filter(spectrum, taps)
    arrival = 6 + 4 - df_lookahead
    assert torch.equal(filtered[0, arrival, :96], torch.full((96,), -2 + 1j))
    assert filtered[0, :, :96].abs().sum(1).count_nonzero() == 1
    assert torch.equal(filtered[..., 96:], spectrum[..., 96:])


def test_delayed_input_gives_delayed_output(model):
    # Leading silence changes the running means and the GRUs' states, which forget it:
    # 1e-4 is left after two seconds. A hop too much or too few makes 1.4.
    delay = 30 * HOP
    clip = noise(1, 3 * RATE)
    delayed = torch.nn.functional.pad(clip, (delay, 0))
    late = model(clip)[:, 2 * RATE :]
    same = model(delayed)[:, 2 * RATE + delay :]
    assert (same - late).norm() < 1e-3 * late.norm()
    off = model(delayed)[:, 2 * RATE + delay - HOP : -HOP]
    assert (off - late).norm() > 0.5 * late.norm()


@pytest.mark.parametrize(("lookahead", "df_lookahead"), [(2, 2), (0, 2), (3, 0)])
def test_output_hears_as_far_ahead_as_announced(lookahead, df_lookahead):
    # The deep filter takes frames of the future whose gains look ahead themselves.
    model = make_model(lookahead=lookahead, df_lookahead=df_lookahead)
    clip = noise(1, 6400)
    changed = clip.clone()
    changed[:, 4800:] = noise(1, 1600, seed=1)  # frame 30 is the first that sees it
    difference = (model(clip) - model(changed)).detach()[0].abs()
    # A frame's first sample lies an overlap, here a hop, before its last hop.
    start = (30 - lookahead - df_lookahead - 1) * HOP
    assert difference[:start].max() == 0
    assert difference[start : start + HOP].max() > 0


def test_local_snr_is_in_decibels_within_the_model_s_range(model):
    enhanced, auxiliary = model(noise(2, 4000), return_auxiliary=True)
    local_snr = auxiliary["local_snr"]
    assert torch.equal(enhanced, model(noise(2, 4000)))
    assert local_snr.shape == (2, model.encoder.front_end.frames(4000))
    assert -15 <= local_snr.min() and local_snr.max() <= 35


# Gradients


def test_gradient_reaches_every_part():
    model = make_model().train()
    enhanced, auxiliary = model(noise(2, 4000), return_auxiliary=True)
    (enhanced.square().sum() + auxiliary["local_snr"].sum()).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("df_dec.df_fc_a"):  # the package's unused output
            assert not parameter.requires_grad and parameter.grad is None
        else:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gradient_flows_through_a_frozen_encoder_to_its_input(model):
    waveforms = noise(1, 4000).requires_grad_()
    model.encoder(waveforms).stages[-1].sum().backward()
    assert waveforms.grad.count_nonzero() == 4000
    assert torch.isfinite(waveforms.grad).all()


def test_gradient_of_a_silent_clip_is_finite():
    model = make_model().train()
    batch = torch.cat([noise(1, 4000), torch.zeros(1, 4000)]).requires_grad_()
    model(batch).square().sum().backward()
    assert torch.isfinite(batch.grad).all()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


# Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"erb_bands": 20}, r"erb_bands \(20\) must be a multiple of 8"),
        ({"df_bins": 95}, r"df_bins \(95\) of 2"),
        ({"embedding_size": 36}, "can't map 128 to 36 features.*multiples of 8"),
        ({"channels": 9, "linear_groups": 5}, "can't map 432 to 72 .*multiples of 5"),
        ({"sample_rate": 8000, "df_bins": 32, "min_erb_bins": 3}, "use fewer bands"),
        ({"df_bins": 162}, "df_bins is 162.* FFT of 320 has 161"),
        ({"df_lookahead": 5}, r"df_lookahead \(5\) .* less than df_order \(5\)"),
        ({"df_lookahead": -1}, r"df_lookahead \(-1\) must be 0 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        make_model(**changes)


def test_grouped_linear_maps_each_group_by_itself():
    torch.manual_seed(0)
    layer = GroupedLinear(6, 4, groups=2)
    x = torch.randn(1, 1, 6)
    halves = [x[..., :3] @ layer.weight[0], x[..., 3:] @ layer.weight[1]]
    torch.testing.assert_close(layer(x), torch.cat(halves, dim=-1))


def test_frame_and_shift_follow_from_the_rate():
    for rate in (16000, 48000):
        front_end = make_model(sample_rate=rate).encoder.front_end
        assert front_end.n_fft == 0.02 * rate
        assert front_end.hop_length == 0.01 * rate


def test_time_constant_is_the_features_own():
    # exp(-1) of a running mean is left after it, but for the decay's three digits.
    for seconds in (1.0, 2.0):
        front_end = make_model(tau_seconds=seconds).encoder.front_end
        left = front_end.decay ** (seconds * RATE / HOP)
        assert left == pytest.approx(math.exp(-1), rel=0.02)


def test_checkpoint_holds_weights_and_statistics_only(model):
    # What follows from the arguments would only stand in the way of another rate.
    names = [name for name in model.state_dict() if "front_end" in name]
    assert names == []


def test_bfloat16_autocast_stays_close(small_model, speech):
    torch.manual_seed(0)
    noisy = speech + 0.01 * torch.randn_like(speech)
    expected = small_model(noisy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        enhanced = small_model(noisy)
        spectrum = small_model.encoder.front_end.analysis(noisy)
    assert enhanced.dtype == torch.float32
    assert torch.equal(spectrum, small_model.encoder.front_end.analysis(noisy))
    error = (enhanced - expected).norm() / expected.norm()
    assert error < 0.03  # bfloat16 has 8 bits of mantissa: 0.4 % an operation
    enhanced.square().mean().backward()
    gradients = [p.grad for p in small_model.df_dec.parameters() if p.requires_grad]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.slow
def test_compiles(small_model, speech):
    """The graph breaks at recurrent layers; what is passed on there has to be plain."""
    compiled = torch.compile(small_model.eval(), backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(speech), small_model(speech))
