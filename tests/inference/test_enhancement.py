"""`MALEnhancement`: what it loads; no padding, file or rate changes a result."""

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from speechbrain.inference.enhancement import WaveformEnhancement
from speechbrain.utils.fetching import FetchConfig
from torch import nn

from speechbrain_mal import MALEnhancement
from speechbrain_mal.hub.repositories import publish

# Single precision in another order of summation, of signals of about 0.1.
TOLERANCE = 1e-6


@pytest.fixture
def enhancer(exported):
    return MALEnhancement.from_hparams(exported)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------- enhancing


def test_it_does_what_the_model_does(enhancer, small_model):
    noisy = noise(2, 9001)
    with torch.no_grad():
        expected = small_model.eval()(noisy)
    torch.testing.assert_close(
        enhancer.enhance_batch(noisy), expected, atol=TOLERANCE, rtol=0
    )
    torch.testing.assert_close(enhancer(noisy), expected, atol=TOLERANCE, rtol=0)


def test_padding_never_changes_a_clip(enhancer):
    noisy, ends = noise(3, 8000), [8000, 5000, 1234]
    lengths = torch.tensor(ends) / 8000
    batch = enhancer.enhance_batch(noisy, lengths)  # what pads them is noise
    for clip, enhanced, end in zip(noisy, batch, ends, strict=True):
        alone = enhancer.enhance_batch(clip[None, :end])[0]
        torch.testing.assert_close(enhanced[:end], alone, atol=TOLERANCE, rtol=0)
        assert not enhanced[end:].any()


def test_padding_never_changes_a_clip_of_other_models():
    # A model that normalises over time: what follows a clip would count.
    class Normalising(nn.Module):
        def forward(self, x):
            return x / x.std(dim=1, keepdim=True)

    enhancer = MALEnhancement({"enhancer": Normalising()}, {"sample_rate": 16000})
    noisy = noise(2, 1000)
    batch = enhancer.enhance_batch(noisy, torch.tensor([1.0, 0.5]))
    alone = enhancer.enhance_batch(noisy[1:, :500])
    assert torch.equal(batch[1, :500], alone[0]) and not batch[1, 500:].any()


@pytest.mark.parametrize("limit", [0.0, 12.0, None])
def test_attenuation_limit(enhancer, limit):
    noisy = noise(1, 8000)
    gain = 0.0 if limit is None else 10 ** (-limit / 20)
    expected = gain * noisy + (1 - gain) * enhancer.enhance_batch(noisy)
    actual = enhancer.enhance_batch(noisy, atten_lim_db=limit)
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


def test_level_is_kept(enhancer):
    # No peak normalisation: silence stays silence, and nothing is scaled up to 1.
    assert not enhancer.enhance_batch(torch.zeros(1, 8000)).any()
    assert enhancer.enhance_batch(1e-4 * noise(1, 8000)).abs().max() < 1e-3


def test_file_equals_batch(enhancer, tmp_path):
    noisy = noise(1, 40001)
    soundfile.write(tmp_path / "a.wav", noisy[0].numpy(), 16000, subtype="FLOAT")
    enhancer.enhance_file(tmp_path / "a.wav", tmp_path / "b.wav")
    actual, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    expected = enhancer.enhance_batch(noisy)[0].numpy()
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)


def test_models_that_cannot_stream_enhance_files_as_a_whole(tmp_path):
    class Reversing(nn.Module):  # the first sample needs the last one
        def forward(self, x):
            return x.flip(1)

    enhancer = MALEnhancement({"enhancer": Reversing()}, {"sample_rate": 16000})
    noisy = noise(40001).numpy()
    soundfile.write(tmp_path / "a.wav", noisy, 16000, subtype="FLOAT")
    enhancer.enhance_file(tmp_path / "a.wav", tmp_path / "b.wav")
    actual, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    np.testing.assert_array_equal(actual, noisy[::-1])
    with pytest.raises(TypeError, match="Reversing can't stream"):
        enhancer.stream()


@pytest.mark.parametrize(
    ("noisy", "lengths", "message"),
    [
        (noise(100), None, r"noisy is \[batch, samples\], not \[100\]"),
        (noise(1, 0), None, r"not \[1, 0\]"),
        (torch.ones(1, 9, dtype=torch.int16), None, "floating point"),
        (torch.tensor([[0.0, torch.nan]]), None, "NaN or infinite"),
        (torch.tensor([[0.0, torch.inf]]), None, "NaN or infinite"),
        (noise(2, 9), torch.tensor([1.0]), r"each of the 2 clips"),
        (noise(1, 9), torch.tensor([9.0]), r"in \(0, 1\]"),
    ],
)
def test_bad_input_is_named(enhancer, noisy, lengths, message):
    with pytest.raises(ValueError, match=message):
        enhancer.enhance_batch(noisy, lengths)


# --------------------------------------------------------------------------- loading


def test_speechbrains_interface_loads_it(exported, enhancer):
    stock = WaveformEnhancement.from_hparams(str(exported))
    noisy = noise(1, 8000)
    torch.testing.assert_close(
        stock.enhance_batch(noisy),
        enhancer.enhance_batch(noisy),
        atol=TOLERANCE,
        rtol=0,
    )


def test_run_opts_that_mean_nothing_here_are_an_error(exported):
    with pytest.raises(ValueError, match="only 'device' counts here, not {'jit'"):
        MALEnhancement.from_hparams(exported, run_opts={"jit": True})


def test_audio_as_it_is_taken(enhancer, tmp_path):
    noisy = noise(2, 8000).numpy()
    soundfile.write(tmp_path / "a.wav", noisy.T, 8000, subtype="FLOAT")
    assert enhancer.load_audio(tmp_path / "a.wav").shape == (16000,)


# ------------------------------------------------------------------------ the real hub


def test_by_id_by_revision_and_from_the_cache(hub, exported, enhancer, tmp_path):
    (exported / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    first = publish(exported, "alice/mal").rpartition("/")[2]
    noisy = noise(1, 8000)
    expected = enhancer.enhance_batch(noisy)
    weights = load_file(exported / "enhancer.safetensors")
    weights["erb_dec.conv0_out.1.bias"] += 1
    save_file(weights, exported / "enhancer.safetensors")
    publish(exported, "alice/mal")
    newest = MALEnhancement.from_hparams("alice/mal", savedir=tmp_path / "saved")
    assert not torch.equal(newest.enhance_batch(noisy), expected)
    pinned = FetchConfig(revision=first)
    for _ in range(2):  # the second time from the cache
        loaded = MALEnhancement.from_hparams("alice/mal", fetch_config=pinned)
        assert torch.equal(loaded.enhance_batch(noisy), expected)
        hub.stop()
    assert MALEnhancement.from_hparams("alice/mal").fingerprint() == (
        newest.fingerprint()
    )
    with pytest.raises(ValueError, match="alice/other: .* can't be reached"):
        MALEnhancement.from_hparams("alice/other")


def test_yaml_from_the_hub_is_not_even_fetched(hub, exported, tmp_path):
    files = {path.name: path.read_bytes() for path in exported.iterdir()}
    files["hyperparams.yaml"] += f"x: !apply:os.mkdir [{tmp_path}/ran]\n".encode()
    hub.add("mallory/mal", files)
    MALEnhancement.from_hparams("mallory/mal")
    assert not (tmp_path / "ran").exists()
    assert not any("hyperparams" in path for _, path, _ in hub.requests)


def test_speechbrains_interface_loads_it_by_id(hub, exported, enhancer, tmp_path):
    hub.add("bob/mal", {path.name: path.read_bytes() for path in exported.iterdir()})
    stock = WaveformEnhancement.from_hparams("bob/mal", savedir=tmp_path / "saved")
    noisy = noise(1, 8000)
    expected = enhancer.enhance_batch(noisy)
    torch.testing.assert_close(
        stock.enhance_batch(noisy), expected, atol=TOLERANCE, rtol=0
    )
