"""A model that is to be trained further starts from an exported one's weights."""

import pytest
import torch

from speechbrain_mal.hub.folder import load_pretrained
from speechbrain_mal.models import DeepFilterNet2

SIZES = {"channels": 8, "embedding_size": 32, "df_hidden_size": 32}


def test_weights_and_statistics_are_those_of_the_folder(exported, small_model):
    model = DeepFilterNet2(16000, **SIZES)
    load_pretrained(model, exported)
    for name, weight in small_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


@pytest.mark.parametrize(
    ("rate", "sizes", "said"),
    [
        (48000, SIZES, "is for 16000 Hz and sample_rate is 48000"),  # shapes would fit
        (
            16000,
            {**SIZES, "channels": 16},
            "holds another model's weights: .*Give the settings",
        ),
    ],
)
def test_another_model_is_refused(exported, rate, sizes, said):
    with pytest.raises(ValueError, match=f"pretrained: {exported} {said}"):
        load_pretrained(DeepFilterNet2(rate, **sizes), exported)
