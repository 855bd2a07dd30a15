"""DeepFilterNet2's two decoders: gains a band, and the taps of the deep filter."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechbrain_mal.models.layers import (
    ConvBlock,
    GroupedLinear,
    SqueezedGRU,
    TransposedConvBlock,
)


class DFDecoderState(NamedTuple):
    """What the DF decoder remembers from one block of frames to the next."""

    df0: Tensor  # last four frames of the DF path's first stage, [B, C, 4, bins]
    gru: Tensor  # [layers, B, hidden]


class ERBDecoder(nn.Module):
    """Embedding and ERB path to a gain in [0, 1] for every band and frame."""

    def __init__(
        self, bands: int, channels: int, hidden: int, layers: int, groups: int
    ):
        super().__init__()
        self.emb_gru = SqueezedGRU(
            hidden, hidden, channels * bands // 4, layers, groups, skip=True
        )
        for stage in range(4):
            setattr(self, f"conv{stage}p", ConvBlock(channels, channels, (1, 1)))
        self.convt3 = ConvBlock(channels, channels, (1, 3))
        self.convt2 = TransposedConvBlock(channels)
        self.convt1 = TransposedConvBlock(channels)
        self.conv0_out = ConvBlock(channels, 1, (1, 3), activation=nn.Sigmoid)

    def forward(
        self, embedding: Tensor, erb: list[Tensor], state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return gains `[B, T, bands]` of embedding and ERB path, and the state."""
        erb0, erb1, erb2, erb3 = (stage.permute(0, 3, 1, 2) for stage in erb)
        deep, state = self.emb_gru(embedding, state)
        deep = deep.unflatten(-1, (erb3.shape[-1], -1))
        deep = self.convt3(self.conv3p(erb3) + deep.permute(0, 3, 1, 2))
        deep = self.convt2(self.conv2p(erb2) + deep)
        deep = self.convt1(self.conv1p(erb1) + deep)
        return self.conv0_out(self.conv0p(erb0) + deep).squeeze(1), state


class DFDecoder(nn.Module):
    """Embedding and first stage of the DF path to complex filter taps."""

    def __init__(
        self,
        bins: int,
        order: int,
        lookahead: int,
        channels: int,
        embedding_size: int,
        hidden: int,
        layers: int,
        groups: int,
    ):
        super().__init__()
        self.bins = bins
        self.df_convp = ConvBlock(channels, 2 * order, (5, 1))
        self._pass_through(order - 1 - lookahead)
        # The package leaves this GRU's groups at 8, whatever the others have.
        self.df_gru = SqueezedGRU(
            embedding_size, hidden, layers=layers, linear_groups=8, skip=True
        )
        self.df_out = nn.Sequential(
            GroupedLinear(hidden, 2 * order * bins, groups), nn.Tanh()
        )
        # The package's decoder has this output, and its forward pass never uses it:
        # here it only keeps the public weights' names and number.
        self.df_fc_a = nn.Sequential(nn.Linear(hidden, 1)).requires_grad_(False)

    @torch.no_grad()
    def _pass_through(self, tap: int) -> None:
        """Let training start from filters that pass the current frame, nearly alone.

        Random filters turn the lowest bins into noise, and the first epochs would go
        into learning to leave them alone.
        """
        norm = self.df_convp[-2]
        norm.weight.fill_(0.1)
        norm.bias[2 * tap] = 1.0  # its real part; the bias is 0 elsewhere

    def forward(
        self, embedding: Tensor, df0: Tensor, state: DFDecoderState | None = None
    ) -> tuple[Tensor, DFDecoderState]:
        """Return taps `[B, T, bins, order, 2]` of embedding and DF path; the state."""
        past, gru = state or (None, None)
        pathway, past = self.df_convp.step(df0.permute(0, 3, 1, 2), past)
        taps, gru = self.df_gru(embedding, gru)
        taps = self.df_out(taps).unflatten(-1, (self.bins, -1))
        taps = taps + pathway.permute(0, 2, 3, 1)
        taps = taps.float()  # no complex numbers in half precision
        return taps.unflatten(-1, (-1, 2)), DFDecoderState(past, gru)
