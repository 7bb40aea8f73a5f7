"""Small random networks beside transformers' with the same weights, and what both decode."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, MarianConfig, MarianMTModel, T5ForConditionalGeneration
from transformers import T5Config as PeerT5Config

from lit_transformer.config.models import EncoderDecoderConfig, GPTConfig, T5Config
from lit_transformer.decoding.prompts import decode_prompts
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.encoder_decoder import EncoderDecoder
from lit_transformer.models.gpt import GPT
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.models.t5 import T5
from tests.models import test_gpt_parity, test_marian_parity, test_t5_parity

CONTEXT, LAYERS, HEADS = 24, 2, 2
SHAPE = {"context_length": CONTEXT, "num_layers": LAYERS, "num_heads": HEADS}
Found = list[list[tuple[list[int], float]]]
"""For each source its texts, with the stop token where there is one, and their scores."""


@dataclass(frozen=True)
class Peers:
    """Two networks with the same weights, in float64: a beam must not hang on the last bit of a sum."""

    ours: TextNetwork
    theirs: Any
    pad: int
    stop: int

    def decode(self, inputs: Tensor, mask: Tensor | None, **options: Any) -> Found:
        """What ours finds."""
        if isinstance(self.ours, Seq2Seq):
            found = decode_sources(
                self.ours, inputs, mask, start_token=self.pad, stop_token=self.stop, forbidden=[self.pad], **options
            )
        else:
            assert isinstance(self.ours, GPT)
            found = decode_prompts(self.ours, inputs, stop_token=self.stop, forbidden=[self.pad], **options)
        return [[(text.ids + [self.stop] * text.ended, text.score) for text in texts] for texts in found]

    def generate(
        self,
        inputs: Tensor,
        mask: Tensor | None,
        *,
        beam_size: int,
        max_length: int,
        min_length: int = 0,
        length_penalty: float = 1.0,
        n_best: int = 1,
    ) -> Found:
        """What theirs does; without scores where it is greedy."""
        settings = {"num_beams": beam_size, "max_new_tokens": max_length, "min_new_tokens": min_length or None}
        if beam_size > 1:
            settings |= {"length_penalty": length_penalty, "num_return_sequences": n_best}
        made = self.theirs.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs) if mask is None else mask.long(),
            bad_words_ids=[[self.pad]],
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
        )
        prompt = 1 if isinstance(self.ours, Seq2Seq) else inputs.shape[1]
        rows = [self._cut(row) for row in made.sequences[:, prompt:].tolist()]
        scores = made.sequences_scores.tolist() if beam_size > 1 else [float("nan")] * len(rows)
        texts = list(zip(rows, scores, strict=True))
        return [texts[place : place + n_best] for place in range(0, len(texts), n_best)]

    def _cut(self, row: list[int]) -> list[int]:
        """Up to the stop token; padding, which is forbidden, only follows."""
        end = row.index(self.stop) + 1 if self.stop in row else len(row)
        return [token for token in row[:end] if token != self.pad]


def marian(seed: int, *, steps: int = 0, vocab_size: int = 23, d_model: int = 16) -> Peers:
    """Our encoder-decoder and MarianMTModel; the stop token is 0 and the pad the last, as there."""
    torch.manual_seed(seed)
    shape = {"vocab_size": vocab_size, "d_model": d_model}
    peer = MarianMTModel(
        MarianConfig(
            **shape,
            max_position_embeddings=CONTEXT,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=4 * d_model,
            decoder_ffn_dim=4 * d_model,
            activation_function="relu",
            scale_embedding=True,
            dropout=0.0,
            attention_dropout=0.0,
            init_std=d_model**-0.5,
            pad_token_id=vocab_size - 1,
            decoder_start_token_id=vocab_size - 1,
            eos_token_id=0,
            forced_eos_token_id=None,  # Marian's default: the last token is the end, whatever its probability
        )
    )
    model = EncoderDecoder(EncoderDecoderConfig(**shape, **SHAPE, dropout=0.0))
    peers = Peers(model, peer, pad=vocab_size - 1, stop=0)
    settle(peers, seed, steps)
    with torch.no_grad():
        for ours, theirs, arrange in test_marian_parity.parameter_pairs(model, peer):
            ours.copy_(arrange(theirs.detach().clone()))
    return in_float64(peers)


def t5(seed: int, *, steps: int = 0, vocab_size: int = 23, d_model: int = 16) -> Peers:
    """Our T5 and theirs; the pad is 0 and the stop token 1, as there."""
    torch.manual_seed(seed)
    shape = {"vocab_size": vocab_size, "d_model": d_model}
    peer = T5ForConditionalGeneration(
        PeerT5Config(
            **shape,
            d_kv=d_model // HEADS,
            d_ff=4 * d_model,
            num_layers=LAYERS,
            num_heads=HEADS,
            dropout_rate=0.0,
            feed_forward_proj="relu",
            decoder_start_token_id=0,
            attn_implementation="eager",
        )
    )
    model = T5(T5Config(**shape, **SHAPE))
    peers = Peers(model, peer, pad=0, stop=1)
    settle(peers, seed, steps)
    with torch.no_grad():
        for ours, theirs in test_t5_parity.parameter_pairs(model, peer):
            ours.copy_(theirs)
    return in_float64(peers)


def gpt(seed: int, *, steps: int = 0, vocab_size: int = 23, d_model: int = 16) -> Peers:
    """Our GPT and GPT2LMHeadModel; the pad is 1 and the stop token 0."""
    torch.manual_seed(seed)
    peer = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab_size,
            n_positions=CONTEXT,
            n_embd=d_model,
            n_layer=LAYERS,
            n_head=HEADS,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
        )
    )
    model = GPT(GPTConfig(vocab_size=vocab_size, d_model=d_model, **SHAPE))
    peers = Peers(model, peer, pad=1, stop=0)
    settle(peers, seed, steps)
    with torch.no_grad():
        for ours, theirs, transposed in test_gpt_parity.parameter_pairs(model, peer):
            ours.copy_(theirs.T if transposed else theirs)
    return in_float64(peers)


def settle(peers: Peers, seed: int, steps: int) -> None:
    """Give theirs its weights: normal ones, or after some steps that half learn random texts by heart.

    With normal weights, norms and biases included, a network says one token again and again; with learned ones texts
    vary and end at lengths of their own.
    """
    if not steps:
        with torch.no_grad():
            for parameter in peers.theirs.parameters():
                if parameter.requires_grad:  # Marian's positions do not
                    parameter.normal_(std=0.3)
        return
    inputs, mask = random_sources(peers, seed)
    generator = torch.Generator().manual_seed(seed)
    texts = torch.randint(2, peers.ours.config.vocab_size - 1, (len(inputs), 10), generator=generator)  # type: ignore[operator]
    ends = torch.randint(1, 10, (len(inputs), 1), generator=generator)
    texts = texts.masked_fill(torch.arange(10) == ends, peers.stop)
    labels = texts.masked_fill(torch.arange(10) > ends, -100)  # (rows, 10)
    batch = {"input_ids": inputs, "attention_mask": None if mask is None else mask.long(), "labels": labels}
    if mask is None:
        batch = {"input_ids": torch.cat((inputs, texts), dim=1), "labels": torch.cat((inputs * 0 - 100, labels), dim=1)}
    optimizer = torch.optim.Adam((weight for weight in peers.theirs.parameters() if weight.requires_grad), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        peers.theirs(**batch).loss.backward()
        optimizer.step()


def in_float64(peers: Peers) -> Peers:
    """The same, to be decoded with."""
    peers.ours.double().eval()
    peers.theirs.double().eval()
    return peers


def random_sources(peers: Peers, seed: int, rows: int = 8, time: int = 9) -> tuple[Tensor, Tensor | None]:
    """Rows of different lengths with their mask; a decoder-only network has rows of one length and no mask."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, peers.ours.config.vocab_size - 1, (rows, time), generator=generator)  # type: ignore[operator]
    if not isinstance(peers.ours, Seq2Seq):
        return ids, None
    lengths = torch.randint(1, time + 1, (rows,), generator=generator)
    lengths[0] = time
    mask = torch.arange(time) < lengths[:, None]  # (rows, time)
    return ids.masked_fill(~mask, peers.pad), mask
