"""DeepFilterNet2 as an enhancer and its encoder as a source of features."""

import math

import pytest
import torch
from streaming_models import EXACT, make_model, noise

HOP = 160


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "invariant"])
def model(request):
    return make_model(sample_rate=16000, level_invariant=request.param)


def assert_near(actual, expected):
    limit = EXACT * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


def test_padding_changes_no_output_and_no_stage_of_the_encoder(model):
    counts = (16000, 9601, 4037)  # one is no multiple of the hop, one just misses one
    clips = [noise(1, count, seed=i) for i, count in enumerate(counts)]
    batch = torch.cat(
        [torch.nn.functional.pad(x, (0, 16000 - x.numel())) for x in clips]
    )
    lengths = torch.tensor(counts) / 16000
    enhanced = model(batch, lengths)
    together, (frames, *_) = model.encoder(batch, lengths)
    for i, clip in enumerate(clips):
        assert_near(enhanced[i : i + 1, : clip.shape[1]], model(clip))
        alone = model.encoder(clip).stages
        assert len(alone) == 7
        for stage, expected in zip(together, alone, strict=True):
            assert expected.shape[1] == frames[i]
            assert_near(stage[i : i + 1, : frames[i]], expected)
    # Without lengths it does; otherwise the above would say nothing.
    difference = model(batch)[2, :4037] - enhanced[2, :4037]
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 16000])
def test_output_has_the_length_of_the_input(model, samples):
    assert model(noise(2, samples)).shape == (2, samples)


def test_output_is_aligned_with_the_input(model):
    # Gains of one and a filter that takes the present frame alone: the identity,
    # to the sample, through every part that could shift the signal.
    noisy, front_end = noise(1, 4037), model.encoder.front_end
    spectrum = front_end.analysis(noisy)
    taps = torch.zeros(1, spectrum.shape[1], 96, model.df_order, dtype=spectrum.dtype)
    taps[..., model.df_order - 1 - model.df_lookahead] = 1
    again = front_end.synthesis(model.deep_filter(spectrum, taps), noisy.shape[1])
    torch.testing.assert_close(again, noisy, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("lookahead", "df_lookahead"), [(2, 2), (0, 2), (3, 0)])
def test_output_hears_as_far_ahead_as_announced(lookahead, df_lookahead):
    # The deep filter takes frames of the future whose gains look ahead themselves.
    model = make_model(
        sample_rate=16000, lookahead=lookahead, df_lookahead=df_lookahead
    )
    clip = noise(1, 6400)
    changed = clip.clone()
    changed[:, 4800:] = noise(1, 1600, seed=1)  # frame 30 is the first that sees it
    difference = (model(clip) - model(changed))[0].abs()
    # A frame's first sample lies an overlap, here a hop, before its last hop.
    start = (30 - lookahead - df_lookahead - 1) * HOP
    assert difference[:start].max() == 0
    assert difference[start : start + HOP].max() > 0


@pytest.mark.parametrize("invariant", [False, True])
def test_gradient_reaches_every_part_and_is_finite_in_silence(invariant):
    model = make_model(sample_rate=16000, level_invariant=invariant)
    model.requires_grad_().train()
    model.df_dec.df_fc_a.requires_grad_(False)  # the package's unused output
    batch = torch.cat([noise(1, 4000), torch.zeros(1, 4000)])
    batch[0, 2000:3000] = 0
    batch.requires_grad_()
    enhanced, outputs = model(batch, return_outputs=True)
    (enhanced.square().sum() + outputs["local_snr"].sum()).backward()
    assert batch.grad.isfinite().all()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad.isfinite().all() and weight.grad.any(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"erb_bands": 20}, r"erb_bands \(20\) must be a multiple of 8"),
        ({"df_bins": 95}, r"df_bins \(95\) of 2"),
        ({"embedding_size": 36}, "can't map 128 to 36 features.*multiples of 8"),
        ({"channels": 9, "linear_groups": 5}, "can't map 432 to 72 .*multiples of 5"),
        ({"sample_rate": 8000, "df_bins": 32, "min_erb_bins": 3}, "use fewer bands"),
        ({"hop_length": 150}, r"hop_length \(150\) must divide n_fft"),
        ({"hop_length": 320}, "at most half"),
        ({"df_bins": 162}, "df_bins is 162.* FFT of 320 has 161"),
        ({"df_lookahead": 5}, r"df_lookahead \(5\) .* less than df_order \(5\)"),
        ({"df_lookahead": -1}, r"df_lookahead \(-1\) must be 0 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        make_model(**{"sample_rate": 16000, **changes})


@pytest.mark.parametrize(("rate", "seconds"), [(16000, 1.0), (48000, 2.0)])
def test_frames_and_time_constant_follow_from_the_rate(rate, seconds):
    front_end = make_model(sample_rate=rate, tau_seconds=seconds).encoder.front_end
    assert front_end.n_fft == 0.02 * rate and front_end.hop_length == 0.01 * rate
    # exp(-1) of a running mean is left after it, but for the decay's three digits.
    assert front_end.decay ** (100 * seconds) == pytest.approx(math.exp(-1), rel=0.02)


def test_checkpoint_holds_weights_and_statistics_only(model):
    # What follows from the arguments would only stand in the way of another rate.
    assert not [name for name in model.state_dict() if "front_end" in name]


def test_bfloat16_autocast_stays_close(small_model, speech):
    expected = small_model(speech)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        enhanced = small_model(speech)
        spectrum = small_model.encoder.front_end.analysis(speech)
    assert enhanced.dtype == torch.float32
    assert torch.equal(spectrum, small_model.encoder.front_end.analysis(speech))
    # bfloat16 has 8 bits of mantissa: 0.4 % an operation
    assert (enhanced - expected).norm() < 0.03 * expected.norm()


@pytest.mark.slow
def test_compiles(small_model, speech):
    """The graph breaks at recurrent layers; what is passed on there has to be plain."""
    compiled = torch.compile(small_model.eval(), backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(speech), small_model(speech))
