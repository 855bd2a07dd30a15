"""Small models that stream, of every kind of look-ahead and overlap; and noise."""

import torch

from speechbrain_mal.models import DeepFilterNet2

# Of the largest sample. Sums of another order make about 1e-6; a state that is lost or
# shifted at one border or hop makes more than 1e-2.
EXACT = 1e-5

SIZES = {"channels": 8, "embedding_size": 32, "df_hidden_size": 32}
KINDS = {
    "16 kHz": {"sample_rate": 16000},
    "48 kHz": {"sample_rate": 48000, "channels": 12},
    "overlap of 75 %": {
        "sample_rate": 8000,
        "n_fft": 256,
        "hop_length": 64,
        "erb_bands": 24,
        "min_erb_bins": 1,
        "df_bins": 48,
        "df_order": 4,
        "df_lookahead": 1,
        "lookahead": 3,
        "linear_groups": 4,
    },
    "no look-ahead": {"sample_rate": 16000, "lookahead": 0, "df_lookahead": 0},
    "look-ahead of the features": {"sample_rate": 16000, "df_lookahead": 0},
    "level-invariant": {"sample_rate": 16000, "level_invariant": True},
    "look-ahead of the filter": {"sample_rate": 16000, "lookahead": 0},
}


def make_model(**changes):
    torch.manual_seed(0)
    model = DeepFilterNet2(**{**SIZES, **changes})
    with torch.no_grad():  # statistics and filters unlike the initial ones
        model.train()(0.1 * torch.randn(2, model.encoder.front_end.sample_rate // 2))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter *= 2
    return model.eval().requires_grad_(False)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
