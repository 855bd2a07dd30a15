"""An enhancer of a few weights, to test losses that follow a model; noisy speech."""

import torch
from torch import nn

from speechbrain_mal.contracts import Enhancer, PlainEncoder


class Frames(nn.Module):
    """Frames, a convolution, a normalisation with statistics."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, 4, 16, stride=8), nn.BatchNorm1d(4)

    def forward(self, waveforms):
        return self.norm(self.conv(waveforms[:, None])).tanh().transpose(1, 2)


class Toy(Enhancer):
    """Waveforms times a gain for each, out of the encoder's features."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.encoder, self.gain = PlainEncoder(Frames()), nn.Linear(4, 1)

    def enhance(self, noisy, lengths=None):
        return noisy * (1 + self.gain(self.encoder(noisy).stages[-1].mean(1))), {}


def change(model, amount=0.01):
    """Change the weights, as a step of an optimizer would."""
    with torch.no_grad():
        for weight in model.parameters():
            weight += amount


def snapshot(module):
    """Return a copy of a module's tensors."""
    state = module.state_dict().items()
    return {name: x.clone() for name, x in state if torch.is_tensor(x)}


def same(a, b):
    """Tell whether two modules, or snapshots of them, hold the same."""
    a, b = (snapshot(x) if isinstance(x, nn.Module) else x for x in (a, b))
    return all(torch.equal(a[name], b[name]) for name in a)


def noisy_at(clean, snr_db):
    """Return speech with white noise, the same in each call."""
    torch.manual_seed(0)
    noise = torch.randn_like(clean)
    level = clean.square().mean(1, keepdim=True) / 10 ** (snr_db / 10)
    return clean + level.sqrt() * noise
