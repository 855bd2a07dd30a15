"""Recognisers of a language of tones, saved as SpeechBrain's hub has them.

A word is a tone of 0.2 s and a pause follows it. The CTC recogniser learns them in a
second; the one with a decoder stays as it is initialised.
"""

from pathlib import Path

import numpy as np
import sentencepiece
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.lobes.features import Fbank

WORDS = ["THE", "KEYS", "OPEN", "OLD", "SHEDS", "DON'T", "RAIN", "TODAY"]
RATE = 16000

FRONT_END = """
tokenizer: !new:sentencepiece.SentencePieceProcessor
features: !new:speechbrain.lobes.features.Fbank
    n_mels: 40
linear: !new:speechbrain.nnet.linear.Linear
    input_size: 40
    n_neurons: 9
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    features: !ref <features>
    linear: !ref <linear>
"""
PRETRAINER = """
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        tokenizer: !ref <tokenizer>
        linear: !ref <linear>
"""
CTC = f"""{FRONT_END}
modules:
    encoder: !ref <encoder>
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: 0
{PRETRAINER}"""
ATTENTION = f"""{FRONT_END}
embedding: !new:speechbrain.nnet.embedding.Embedding
    num_embeddings: 9
    embedding_dim: 4
rnn: !new:speechbrain.nnet.RNN.AttentionalRNNDecoder
    enc_dim: 9
    input_size: 4
    rnn_type: gru
    attn_type: content
    hidden_size: 4
    attn_dim: 4
    num_layers: 1
output: !new:speechbrain.nnet.linear.Linear
    input_size: 4
    n_neurons: 9
decoder: !new:speechbrain.decoders.S2SRNNGreedySearcher
    embedding: !ref <embedding>
    decoder: !ref <rnn>
    linear: !ref <output>
    bos_index: 0
    eos_index: 0
    min_decode_ratio: 0
    max_decode_ratio: 0.1
modules:
    encoder: !ref <encoder>
    decoder: !ref <decoder>
{PRETRAINER}        embedding: !ref <embedding>
        rnn: !ref <rnn>
        output: !ref <output>
"""

WHISPER = """
language: en
sample_rate: 16000
normalized_transcripts: {words}
whisper: !new:tiny_asr.TinyWhisper
decoder: !new:tiny_asr.TinyWhisperDecoder
modules:
    whisper: !ref <whisper>
    decoder: !ref <decoder>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
"""


class TinyWhisper(torch.nn.Module):
    """What `WhisperASR` asks of SpeechBrain's Whisper; it hears how many samples."""

    @property
    def tokenizer(self):
        """Return itself: it decodes, too."""
        return self

    def decode(self, tokens, skip_special_tokens):
        """Return words."""
        return f" {WORDS[tokens[0] % len(WORDS)]}, {WORDS[0]}"

    def normalize(self, text):
        """Return it without the comma."""
        return text.replace(",", "")

    def _get_mel(self, waveforms):
        return waveforms

    def forward_encoder(self, mel):
        """Return it."""
        return mel


class TinyWhisperDecoder(torch.nn.Module):
    """What `WhisperASR` asks of a searcher."""

    def forward(self, states, lengths):
        """Return a clip's tokens, first."""
        return [[states.shape[1]]], None, None, None


def say(text: str) -> np.ndarray:
    """Return the words as tones, `[samples]`."""
    time = np.arange(int(0.2 * RATE)) / RATE
    fade = np.hanning(len(time))
    pause = np.zeros(len(time))
    tones = [
        0.3 * fade * np.sin(2 * np.pi * 300 * 1.5 ** WORDS.index(word) * time)
        for word in text.split()
    ]
    speech = np.concatenate([pause, *(x for tone in tones for x in (tone, pause))])
    hiss = np.random.default_rng(0).normal(0, 1e-4, len(speech))
    return (speech + hiss).astype("float32")


def save_asr(folder: Path, hyperparams: str = CTC) -> str:
    """Save a recogniser into a folder and return its path."""
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(hyperparams)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS), *WORDS]),
        model_prefix=str(folder / "tokenizer"),
        model_type="word",
        vocab_size=len(WORDS) + 1,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    (folder / "tokenizer.model").rename(folder / "tokenizer.ckpt")
    tokenizer = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.ckpt"))
    torch.manual_seed(0)
    parts = load_hyperpyyaml(hyperparams)
    _train(parts["linear"], tokenizer)
    for name in ("linear", "embedding", "rnn", "output"):
        if name in parts:
            torch.save(parts[name].state_dict(), folder / f"{name}.ckpt")
    return str(folder)


def _train(linear, tokenizer) -> None:
    features = Fbank(n_mels=40)(torch.from_numpy(say(" ".join(WORDS)))[None])[0]
    frames = 0.01 * torch.arange(len(features))  # s; then pause, word, pause, ...
    tones = (frames / 0.2).long().clamp(max=2 * len(WORDS))
    spoken = (tones % 2 == 1) & ((frames % 0.2 - 0.1).abs() < 0.07)
    ids = torch.tensor(
        [tokenizer.piece_to_id("\N{LOWER ONE EIGHTH BLOCK}" + w) for w in WORDS]
    )
    labels = torch.where(spoken, ids[(tones // 2).clamp(max=len(WORDS) - 1)], 0)
    optimizer = torch.optim.Adam(linear.parameters(), 0.03)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(linear(features), labels).backward()
        optimizer.step()
