import sys

import numpy as np
import pytest
import torch
from pesq import pesq
from pystoi import stoi
from toy_enhancer import noisy_at

from speechbrain_mal.losses import PESQLoss, SNRLoss, STOILoss
from speechbrain_mal.metrics.intrusive import snr

RATE = 16000


@pytest.fixture(scope="module", params=[PESQLoss, STOILoss], ids=["PESQ", "STOI"])
def loss(request):
    return request.param(RATE)


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


def test_a_step_down_the_gradient_is_one_to_better_scores(loss, speech):
    clean = speech[:1]

    def score(enhanced):
        pair = clean[0].numpy(), enhanced[0].numpy()
        if isinstance(loss, PESQLoss):
            return pesq(RATE, *pair, "wb")
        return stoi(*pair, RATE, extended=True)

    noisy = noisy_at(clean, 5)
    enhanced = noisy.clone().requires_grad_()
    loss(enhanced, clean).backward()
    step = 0.05 * noisy.norm() * enhanced.grad / enhanced.grad.norm()
    assert score(noisy - step) > score(noisy)


@pytest.mark.parametrize(
    ("kind", "module"), [(PESQLoss, "torch_pesq"), (STOILoss, "torch_stoi")]
)
def test_says_which_extra_it_needs(monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install .*perceptual"):
        kind(RATE)


def test_snr_is_the_metric_s_up_to_the_threshold(speech):
    enhanced = noisy_at(speech, 5)
    pairs = zip(enhanced.numpy(), speech.numpy(), strict=True)
    expected = -np.mean([snr(e, c) for e, c in pairs])
    # At 90 dB the threshold moves a value of 5 dB by 1e-8.
    assert SNRLoss(RATE, 90)(enhanced, speech).item() == pytest.approx(expected)
    halved = 10 * np.log10(0.25 + 1e-3)  # a gain is noise, too
    assert SNRLoss(RATE, 30)(0.5 * speech, speech).item() == pytest.approx(halved)
    assert SNRLoss(RATE, 20)(speech.clone(), speech).item() == pytest.approx(-20)
