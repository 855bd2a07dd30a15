"""The first layers of a network as an encoder that shares their weights."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from speechbrain_mal.contracts import PlainEncoder


class LayerEncoder(PlainEncoder):
    """Layers that are called one after the other, each one's output being a stage.

    Arguments
    ---------
    layers : sequence of nn.Module
        The first layers of a network, up to its bottleneck: all that has weights, so
        that a frozen encoder is frozen whole. Of a layer that returns a tuple, as
        recurrent ones do, the first counts.
    time_dim : int or sequence of int
        Which dimension of the layers' outputs is time: one for all, or one each.
    front : nn.Module, optional
        Waveforms `[B, samples]` to what the first layer takes.
    before : mapping of int to callable, optional
        What the network does to the input of a layer, by the layer's index.

    Example
    -------
    >>> import torch
    >>> network = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.Conv1d(4, 1, 1))
    >>> front = nn.Unflatten(1, (1, -1))
    >>> encoder = LayerEncoder(network[:1], time_dim=2, front=front)
    >>> [list(x.shape) for x in encoder(torch.randn(2, 800)).stages]
    [[2, 800, 4]]
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        time_dim: int | Sequence[int] = 1,
        front: nn.Module | None = None,
        before: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    ):
        super().__init__(nn.ModuleList(layers))
        self.front = front or nn.Identity()
        self.before = dict(before or {})
        number = len(self.layers)
        self.time_dims = [time_dim] * number if isinstance(time_dim, int) else time_dim
        if len(self.time_dims) != number or not number:
            raise ValueError(
                f"time_dim has {len(self.time_dims)} values for {number} layers: give "
                "one for all, or one each."
            )

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, shallow to deep."""
        return self.network

    def stages(self, waveforms: Tensor) -> list[Tensor]:
        """Return every layer's output, `[B, T, ...]`."""
        x, stages = self.front(waveforms), []
        for i, layer in enumerate(self.layers):
            x = first(layer(self.before[i](x) if i in self.before else x))
            stages.append(x.movedim(self.time_dims[i], 1))
        return stages


def first(output: Tensor | tuple) -> Tensor:
    """Return a layer's output, of several the first."""
    return output if isinstance(output, Tensor) else output[0]


def named_layers(network: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Return a network's layers by name; none, or an unknown one, is an error."""
    known = dict(network.named_modules())
    if unknown := [name for name in names if name not in known] or not names:
        raise ValueError(
            f"layers: {unknown if names else 'none'} named, but the network's "
            f"submodules are {[name for name in known if name]}."
        )
    return [known[name] for name in names]
