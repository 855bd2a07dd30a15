"""The public package's weights load, and give the public package's numbers.

`make_golden.py` wrote them. Larger models, when a folder of them lies beside the
repository, are compared too.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models.make_golden import config_ini

from speechbrain_mal.models import DeepFilterNet2, settings_from_public_config

HERE = Path(__file__).parent
GOLDEN = sorted((HERE / "golden").glob("*.npz"))
SHARED = HERE.parents[2] / "shared" / "golden"
NONE = pytest.param(SHARED, marks=pytest.mark.skip(reason=f"no {SHARED}/*.npz"))
LARGER = sorted(SHARED.glob("*.npz")) or [NONE]

# Of the largest magnitude. Single precision in another order of summation leaves
# 4e-6 at most (in the ERB feature, whose running mean the package loops over).
TOLERANCE = 1e-4

# Order of the numbers in `conf` of the shared files.
CONF_NUMBERS = """
    sample_rate n_fft hop_length erb_bands df_bins min_erb_bins lookahead df_order
    df_lookahead channels embedding_size df_hidden_size erb_layers df_layers
    linear_groups
""".split()


def sizes_of(conf: np.ndarray) -> dict[str, int]:
    if conf.ndim == 0:
        return json.loads(conf.item())
    sizes = dict(zip(CONF_NUMBERS, conf.tolist(), strict=True))
    sizes["erb_layers"] -= 1  # the package counts the embedding's layer, too
    return sizes


def weights_of(golden: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    names = [name for name in golden if name.startswith("w.")]
    return {name[2:]: torch.from_numpy(golden[name]) for name in names}


def load(path, folder):
    """Return what the file has, the model of it, and the model's `config.ini`."""
    with np.load(path) as file:
        golden = dict(file)
    config = folder / "config.ini"
    config.write_text(config_ini(sizes_of(golden["conf"])))
    model = DeepFilterNet2(**settings_from_public_config(config)).eval()
    model.load_public_weights(weights_of(golden), config)
    return golden, model, config


@pytest.mark.parametrize("path", GOLDEN + LARGER, ids=lambda path: path.stem)
@torch.no_grad()
def test_output_is_that_of_the_public_package(path, tmp_path):
    assert len(GOLDEN) >= 3, "run make_golden.py"
    golden, model, _ = load(path, tmp_path)
    noisy = torch.from_numpy(golden["noisy"])
    encoder = model.encoder
    spectrum = encoder.front_end.analysis(noisy)
    erb, low = encoder.front_end.features(spectrum)
    (*stages, embedding), _ = encoder.step(*encoder.inputs(spectrum))
    outputs = {
        "feat_erb": erb,
        "feat_spec": low,
        "emb": embedding,
        "erb_mask": model.erb_dec(embedding, stages[:4])[0],
        "lsnr": encoder.local_snr(embedding),
        "enhanced": model(noisy),
    }
    for name, output in outputs.items():
        output = torch.view_as_real(output) if output.is_complex() else output
        expected = golden[name].reshape(output.shape)
        limit = TOLERANCE * np.abs(expected).max()
        np.testing.assert_allclose(output, expected, rtol=0, atol=limit, err_msg=name)


def test_default_has_the_public_model_s_size():
    parameters = sum(p.numel() for p in DeepFilterNet2().parameters())
    assert parameters == 2_306_236


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("enc.df_conv1.1.weight", None, r"Missing.*encoder\.df_conv1\.1\.weight"),
        ("enc.df_conv2.1.weight", (1,), r"Unexpected.*encoder\.df_conv2"),
        ("df_dec.df_fc_a.0.bias", (2,), r"size mismatch.*df_fc_a"),
    ],
)
def test_other_weights_are_errors(tmp_path, name, shape, message):
    golden, model, config = load(GOLDEN[0], tmp_path)
    weights = weights_of(golden)
    constant = {"erb_fb": torch.zeros(1), "mask.erb_inv_fb": torch.zeros(1)}
    model.load_public_weights({**weights, **constant}, config)  # passed over
    weights[name] = torch.zeros(shape or ())
    if shape is None:
        del weights[name]
    with pytest.raises(RuntimeError, match=message):
        model.load_public_weights(weights, config)
