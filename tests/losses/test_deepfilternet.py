import torch

from speechbrain_mal.losses import DeepFilterNetLoss


def test_padding_never_changes_the_value(small_model, speech):
    torch.manual_seed(0)
    front_end = small_model.encoder.front_end
    loss = DeepFilterNetLoss(front_end, local_snr=1.0)
    noisy = speech + 0.05 * torch.randn_like(speech)
    enhanced = speech + 0.02 * torch.randn_like(speech)
    samples = [24000, 16001, 9999, 4000]
    snr = [torch.randn(1, front_end.frames(n)) for n in samples]
    alone = [
        loss(*(x[i : i + 1, :n] for x in (enhanced, speech)), None, noisy[[i], :n], s)
        for i, (n, s) in enumerate(zip(samples, snr, strict=True))
    ]
    clean = speech.clone()
    for i, n in enumerate(samples):
        clean[i, n:] = noisy[i, n:] = 0
        enhanced[i, n:] = 7.0
    batch_snr = torch.full((4, snr[0].shape[1]), 99.0)
    for i, s in enumerate(snr):
        batch_snr[i, : s.shape[1]] = s
    batch = loss(enhanced, clean, torch.tensor(samples) / 24000, noisy, batch_snr)
    # float32 sums in another order
    torch.testing.assert_close(batch, torch.stack(alone).mean(), rtol=1e-5, atol=0)


def test_grows_as_snr_falls(small_model, speech):
    torch.manual_seed(0)
    noise = torch.randn_like(speech)
    loss = DeepFilterNetLoss(small_model.encoder.front_end)
    values = [loss(speech + a * noise, speech) for a in (0.001, 0.003, 0.01, 0.03)]
    assert all(a < b for a, b in zip(values, values[1:], strict=False))
    assert values[0] > 0


def test_gradient_is_finite_on_silence(small_model, speech):
    loss = DeepFilterNetLoss(small_model.encoder.front_end)
    for clean, enhanced in [(speech, 0 * speech), (0 * speech, speech)]:
        enhanced = enhanced.clone().requires_grad_()
        loss(enhanced, clean).backward()
        assert torch.isfinite(enhanced.grad).all()


def test_float32_inside_autocast(small_model, speech):
    loss = DeepFilterNetLoss(small_model.encoder.front_end)
    outside = loss(speech + 0.01, speech)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(speech + 0.01, speech) == outside


def test_local_snr_target_of_known_mixtures(small_model):
    front_end = small_model.encoder.front_end
    loss = DeepFilterNetLoss(front_end)
    torch.manual_seed(0)
    clean = front_end.analysis(torch.randn(1, 160000))
    noise = front_end.analysis(torch.randn(1, 160000))
    for snr_db in (-10.0, 0.0, 20.0):
        target = loss.local_snr_target(clean, 10 ** (-snr_db / 20) * noise)
        # The package weighs noise energy with (0, 3/4, 3/4) / 3, half of a mean: +3 dB.
        assert abs(target[:, 5:-5].mean() - snr_db - 3.0) < 0.1
    assert loss.local_snr_target(clean, 0 * noise).max() == 36
    assert loss.local_snr_target(0 * clean, noise).min() == -16
