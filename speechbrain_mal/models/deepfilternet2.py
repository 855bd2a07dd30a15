"""DeepFilterNet2 in pure PyTorch, at any sampling rate and width.

H. Schroeter, A. N. Escalante-B., T. Rosenkranz, A. Maier, "DeepFilterNet2: Towards
real-time speech enhancement on embedded devices for full-band audio", IWAENC 2022.
Weights of the public code load by name (`load_public_weights`) and give its output.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechbrain_mal.contracts import Enhancer
from speechbrain_mal.models.decoders import DFDecoder, DFDecoderState, ERBDecoder
from speechbrain_mal.models.encoder import DeepFilterNet2Encoder, EncoderState
from speechbrain_mal.models.frontend import FrontEnd
from speechbrain_mal.models.public_weights import ARGUMENTS, check_public_config


class NetworkState(NamedTuple):
    """What encoder and decoders remember from one block of frames to the next."""

    encoder: EncoderState
    erb_decoder: Tensor  # [layers, B, E]
    df_decoder: DFDecoderState


class DeepFilterNet2(Enhancer):
    """DeepFilterNet2: ERB gains, then a complex filter over time in the lowest bins.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    n_fft, hop_length : int, optional
        Frame and shift in samples; 20 ms and 10 ms when not given.
    erb_bands, min_erb_bins : int
        ERB bands, a multiple of 8, and least STFT bins of each.
    df_bins : int
        Lowest STFT bins that are deep-filtered, a multiple of 2.
    df_order, df_lookahead : int
        Frames each deep filter spans, and those of the future among them.
    lookahead : int
        Frames of the future in the features.
    channels : int
        Convolution channels.
    embedding_size, df_hidden_size : int
        Hidden units of the embedding's and the DF decoder's GRUs.
    erb_layers, df_layers : int
        GRU layers of the two decoders.
    linear_groups : int
        Groups of the grouped linear layers.
    tau_seconds : float
        Time constant of the features' running means.
    level_invariant : bool
        Whether what is done does not depend on the noisy signal's level (but in the
        first second of loud ones) and constant offset; see `models/level.py`.

    Raises
    ------
    ValueError
        When a size does not divide as the layers need it, or the deep filter's frames
        do not include the present one.

    Example
    -------
    >>> model = DeepFilterNet2()
    >>> sum(parameter.numel() for parameter in model.parameters())
    2306236
    >>> model(torch.randn(1, 48000)).shape
    torch.Size([1, 48000])
    """

    # Frames that encoder and decoders compute at a time, None for all. It changes no
    # result: blocks stay in the processor's cache, but backpropagation is slower.
    block_frames: int | None = None

    def __init__(
        self,
        sample_rate: int = 48000,
        n_fft: int | None = None,
        hop_length: int | None = None,
        erb_bands: int = 32,
        min_erb_bins: int = 2,
        df_bins: int = 96,
        df_order: int = 5,
        df_lookahead: int = 2,
        lookahead: int = 2,
        channels: int = 64,
        embedding_size: int = 256,
        df_hidden_size: int = 256,
        erb_layers: int = 2,
        df_layers: int = 2,
        linear_groups: int = 8,
        tau_seconds: float = 1.0,
        level_invariant: bool = False,
    ):
        n_fft, hop_length = n_fft or sample_rate // 50, hop_length or sample_rate // 100
        given = dict(locals())
        super().__init__()
        self.arguments = {name: given[name] for name in ARGUMENTS}
        if erb_bands % 8 or df_bins % 2:
            raise ValueError(
                f"erb_bands ({erb_bands}) must be a multiple of 8 and df_bins "
                f"({df_bins}) of 2."
            )
        if not 0 <= df_lookahead < df_order:
            raise ValueError(
                f"df_lookahead ({df_lookahead}) must be 0 or more and less than "
                f"df_order ({df_order}): the present frame is one of the filter's."
            )
        self.df_order = df_order
        self.df_lookahead = df_lookahead
        front_end = FrontEnd(
            sample_rate,
            n_fft,
            hop_length,
            erb_bands,
            min_erb_bins,
            df_bins,
            tau_seconds,
            level_invariant,
        )
        self.sample_rate = sample_rate
        self.encoder = DeepFilterNet2Encoder(
            front_end, channels, embedding_size, linear_groups, lookahead
        )
        self.erb_dec = ERBDecoder(
            erb_bands, channels, embedding_size, erb_layers, linear_groups
        )
        self.df_dec = DFDecoder(
            df_bins,
            df_order,
            df_lookahead,
            channels,
            embedding_size,
            df_hidden_size,
            df_layers,
            linear_groups,
        )

    def enhance(
        self, noisy: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return enhanced `[B, samples]`, and `local_snr` in dB, `[B, T]`.

        With `lengths` a clip's result does not depend on its padding, which has to be
        zero.
        """
        front_end = self.encoder.front_end
        spectrum = front_end.input_spectrum(noisy)
        frames = front_end.clip_frames(noisy, lengths)
        gains, taps, embedding = self._estimate(*self.encoder.inputs(spectrum, frames))
        masked = spectrum * (gains.float() @ front_end.erb_spread)
        # Not `view_as_complex`: torch.compile can't pass on a complex view of reals.
        enhanced = self.deep_filter(masked, torch.complex(*taps.unbind(-1)))
        waveforms = front_end.synthesis(enhanced, noisy.shape[-1])
        return waveforms, {"local_snr": self.encoder.local_snr(embedding)}

    def step(
        self, erb: Tensor, low: Tensor, state: NetworkState | None = None
    ) -> tuple[tuple[Tensor, Tensor, Tensor], NetworkState]:
        """Run encoder and decoders on a block of frames; see the encoder's `step`.

        Returns
        -------
        estimates : tuple of Tensor
            Gains `[B, T, bands]`; taps, real and imaginary part on the last dimension,
            `[B, T, bins, order, 2]`; the embedding `[B, T, embedding_size]`.
        state : NetworkState
            For the next block.
        """
        encoder, erb_decoder, df_decoder = state or (None, None, None)
        stages, encoder = self.encoder.step(erb, low, encoder)
        *erb_stages, df0, _, embedding = stages
        gains, erb_decoder = self.erb_dec(embedding, erb_stages, erb_decoder)
        taps, df_decoder = self.df_dec(embedding, df0, df_decoder)
        state = NetworkState(encoder, erb_decoder, df_decoder)
        return (gains, taps, embedding), state

    def _estimate(self, erb: Tensor, low: Tensor) -> tuple[Tensor, ...]:
        """Return what `step` does of all frames, computed in blocks if so set."""
        if self.block_frames is None:
            return self.step(erb, low)[0]
        blocks, state = [], None
        for erb_block, low_block in zip(
            erb.split(self.block_frames, dim=2),
            low.split(self.block_frames, dim=2),
            strict=True,
        ):
            estimates, state = self.step(erb_block, low_block, state)
            blocks.append(estimates)
        return tuple(torch.cat(parts, dim=1) for parts in zip(*blocks, strict=True))

    def deep_filter(self, spectrum: Tensor, taps: Tensor) -> Tensor:
        """Filter the lowest bins of a spectrum `[B, T, F]` over time.

        The complex taps are `[B, T, bins, order]`, the oldest frame first.
        """
        past = self.df_order - 1 - self.df_lookahead
        return self.deep_filter_within(
            F.pad(spectrum, (0, 0, past, self.df_lookahead)), taps
        )

    def deep_filter_within(self, spectrum: Tensor, taps: Tensor) -> Tensor:
        """Filter as `deep_filter`, but only frames whose span lies in the spectrum.

        Of `[B, T + df_order - 1, F]` and taps for `T` frames it returns `[B, T, F]`.
        """
        bins, frames = taps.shape[2], taps.shape[1]
        past = self.df_order - 1 - self.df_lookahead
        low = (spectrum[..., :bins].unfold(1, self.df_order, 1) * taps).sum(-1)
        return torch.cat([low, spectrum[:, past : past + frames, bins:]], dim=-1)

    def load_public_weights(
        self, weights: dict[str, Tensor], config: str | Path
    ) -> None:
        """Load a state dict of the public `df.deepfilternet2.DfNet`, strictly.

        `config` is the package's `config.ini`, which lies beside its `checkpoints/`;
        `settings_from_public_config` has the arguments for the model of it. A file that
        describes another model is a ValueError; a RuntimeError says which weight is
        missing, unexpected or of another shape.
        """
        check_public_config(config, self)
        constant = ("erb_fb", "mask.")  # the filter bank, which the package registers
        self.load_state_dict(
            {
                name.replace("enc.", "encoder.", 1) if name[:4] == "enc." else name: w
                for name, w in weights.items()
                if not name.startswith(constant)
            }
        )
