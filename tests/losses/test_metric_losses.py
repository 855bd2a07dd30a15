import sys

import numpy as np
import pytest
import torch
from pesq import pesq
from pystoi import stoi

from speechbrain_mal.losses import PESQLoss, STOILoss

RATE = 16000
LOSSES = [PESQLoss, STOILoss]


@pytest.fixture(scope="module", params=LOSSES, ids=lambda loss: loss.__name__)
def loss(request):
    return request.param(RATE)


def noisy_at(clean, snr_db, seed=0):
    torch.manual_seed(seed)
    noise = torch.randn_like(clean)
    level = clean.square().mean(1, keepdim=True) / 10 ** (snr_db / 10)
    return clean + level.sqrt() * noise


@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_pesq_is_the_reference_implementation_s(speech, snr_db):
    noisy = noisy_at(speech, snr_db)
    disturbance = PESQLoss(RATE).distance(noisy, speech.clone())
    # P.862.2's mapping of the raw score
    ours = 0.999 + 4 / (1 + torch.exp(-1.3669 * (4.5 - disturbance) + 3.8224))
    pairs = zip(speech.numpy(), noisy.numpy(), strict=True)
    theirs = [pesq(RATE, clean, noise, "wb") for clean, noise in pairs]
    # 0.12 at most: there is no alignment in time, and the level is measured otherwise.
    assert np.abs(ours.numpy() - theirs).max() < 0.15


@pytest.mark.parametrize("extended", [True, False])
def test_stoi_is_pystoi_s_but_for_the_pauses(speech, extended):
    noisy = noisy_at(speech, 5)
    ours = 1 - STOILoss(RATE, extended=extended).distance(noisy, speech)
    pairs = zip(speech.numpy(), noisy.numpy(), strict=True)
    theirs = [stoi(clean, noise, RATE, extended=extended) for clean, noise in pairs]
    # pystoi leaves out the silent frames, and resamples by another filter.
    assert np.abs(ours.numpy() - theirs).max() < 0.1


def test_less_noise_is_less_loss(loss, speech):
    values = [loss(noisy_at(speech, snr), speech).item() for snr in (0, 10, 20, 40)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.3 * values[0]


def test_padding_never_changes_the_value(loss, speech):
    samples = [24000, 16000, 12000]
    clean, noisy = speech[:3].clone(), noisy_at(speech[:3], 5)
    for i, count in enumerate(samples):
        clean[i, count:] = 0
        noisy[i, count:] = float("nan")
    tight = loss(noisy, clean, torch.tensor(samples) / 24000)
    pad = torch.full((3, 6000), float("inf"))
    loose = loss(
        torch.cat([noisy, pad], 1),
        torch.cat([clean, pad], 1),
        torch.tensor(samples) / 30000,
    )
    alone = [
        loss(noisy[i : i + 1, :n], clean[i : i + 1, :n]) for i, n in enumerate(samples)
    ]
    torch.testing.assert_close(loose, tight)
    torch.testing.assert_close(tight, torch.stack(alone).mean())


def test_gradients_are_finite_in_silence_and_where_nothing_differs(loss, speech):
    clean = speech.clone()
    clean[:, 8000:] = 0  # a second of digital silence
    enhanced = noisy_at(clean, 10)
    enhanced[0] = clean[0]
    enhanced[1, 8000:] = 0
    enhanced.requires_grad_()
    loss(enhanced, clean).backward()
    assert enhanced.grad.isfinite().all()
    assert enhanced.grad[1].abs().sum() > 0


@pytest.mark.parametrize("silent", ["enhanced", "clean", "both"])
def test_silent_clips_do_not_count(loss, speech, silent):
    clean, enhanced = speech[:2].clone(), noisy_at(speech[:2], 10)
    other = loss(enhanced[1:], clean[1:])
    if silent != "clean":
        enhanced[0] = 0
    if silent != "enhanced":
        clean[0] = 0
    enhanced.requires_grad_()
    torch.testing.assert_close(loss(enhanced, clean), other)
    nothing = loss(enhanced[:1], clean[:1])
    nothing.backward()
    assert nothing == 0
    assert (enhanced.grad == 0).all()


def test_clips_too_short_do_not_count(loss, speech):
    assert loss(noisy_at(speech[:, :4000], 5), speech[:, :4000]) == 0


def test_a_step_down_the_gradient_is_one_to_better_scores(speech):
    clean = speech[:1]
    noisy = noisy_at(clean, 5)
    for loss, score in [
        (PESQLoss(RATE), lambda x: pesq(RATE, clean[0].numpy(), x, "wb")),
        (STOILoss(RATE), lambda x: stoi(clean[0].numpy(), x, RATE, extended=True)),
    ]:
        enhanced = noisy.clone().requires_grad_()
        loss(enhanced, clean).backward()
        step = 0.05 * noisy.norm() * enhanced.grad / enhanced.grad.norm()
        assert score((noisy - step)[0].numpy()) > score(noisy[0].numpy())


@pytest.mark.parametrize(
    ("kind", "module"), [(PESQLoss, "torch_pesq"), (STOILoss, "torch_stoi")]
)
def test_says_which_extra_it_needs(monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install .*perceptual"):
        kind(RATE)
