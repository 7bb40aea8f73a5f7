"""Small random networks beside transformers' with the same weights, and what both decode."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
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

CONTEXT = 24
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
            eos_token_id=self.stop,
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

    def with_stop(self, inputs: Tensor, mask: Tensor | None, place: int) -> "Peers":
        """The same with the stop token that ends a free text after `place` tokens: random networks stop rarely."""
        free = self.decode(inputs, mask, beam_size=4, max_length=CONTEXT - inputs.shape[1], n_best=4)
        tokens = [text[place] for texts in free for text, _ in texts if len(text) > place]
        return replace(self, stop=tokens[0]) if tokens else self

    def _cut(self, row: list[int]) -> list[int]:
        """Up to the stop token; padding, which is forbidden, only follows."""
        end = row.index(self.stop) + 1 if self.stop in row else len(row)
        return [token for token in row[:end] if token != self.pad]


def marian(seed: int, *, vocab_size: int = 23, std: float = 0.3, **shape: Any) -> Peers:
    """Our encoder-decoder and MarianMTModel; the stop token is 0 and the pad the last, as there."""
    pad = vocab_size - 1
    shape = {"num_layers": 2, "num_heads": 2, "d_model": 16, "context_length": CONTEXT} | shape
    config = EncoderDecoderConfig(**shape, vocab_size=vocab_size, dropout=0.0)
    torch.manual_seed(seed)
    peer = MarianMTModel(
        MarianConfig(
            vocab_size=vocab_size,
            max_position_embeddings=config.context_length,
            d_model=config.d_model,
            encoder_layers=config.num_layers,
            decoder_layers=config.num_layers,
            encoder_attention_heads=config.num_heads,
            decoder_attention_heads=config.num_heads,
            encoder_ffn_dim=config.d_ff or 4 * config.d_model,
            decoder_ffn_dim=config.d_ff or 4 * config.d_model,
            activation_function="relu",
            scale_embedding=True,
            dropout=0.0,
            attention_dropout=0.0,
            pad_token_id=pad,
            decoder_start_token_id=pad,
            eos_token_id=0,
            forced_eos_token_id=None,  # Marian's default: the last token is the end, whatever its probability
        )
    )
    model = EncoderDecoder(config)
    with torch.no_grad():
        for parameter in peer.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=std)
        for ours, theirs, arrange in test_marian_parity.parameter_pairs(model, peer):
            ours.copy_(arrange(theirs.detach().clone()))
    return Peers(model.double().eval(), peer.double().eval(), pad, 0)


def t5(seed: int, *, vocab_size: int = 23, std: float = 0.3, **shape: Any) -> Peers:
    """Our T5 and theirs; the pad is 0 and the stop token 1, as there."""
    shape = {"num_layers": 2, "num_heads": 2, "d_model": 16, "context_length": CONTEXT} | shape
    config = T5Config(**shape, vocab_size=vocab_size)
    torch.manual_seed(seed)
    peer = T5ForConditionalGeneration(
        PeerT5Config(
            vocab_size=vocab_size,
            d_model=config.d_model,
            d_kv=config.d_model // config.num_heads,
            d_ff=4 * config.d_model,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            dropout_rate=0.0,
            feed_forward_proj="relu",
            decoder_start_token_id=0,
            attn_implementation="eager",
        )
    )
    model = T5(config)
    with torch.no_grad():
        for parameter in peer.parameters():
            nn.init.normal_(parameter, std=std)
        peer.shared.weight.normal_(std=3.0)  # their logits are divided by sqrt(d_model)
        for ours, theirs in test_t5_parity.parameter_pairs(model, peer):
            ours.copy_(theirs)
    return Peers(model.double().eval(), peer.double().eval(), 0, 1)


def gpt(seed: int, *, vocab_size: int = 23, std: float = 0.3, **shape: Any) -> Peers:
    """Our GPT and GPT2LMHeadModel; the pad is 1 and the stop token 0."""
    shape = {"num_layers": 2, "num_heads": 2, "d_model": 16, "context_length": CONTEXT} | shape
    config = GPTConfig(**shape, vocab_size=vocab_size)
    torch.manual_seed(seed)
    peer = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
        )
    )
    model = GPT(config)
    with torch.no_grad():
        for parameter in peer.parameters():
            nn.init.normal_(parameter, std=std)
        for ours, theirs, transposed in test_gpt_parity.parameter_pairs(model, peer):
            ours.copy_(theirs.T if transposed else theirs)
    return Peers(model.double().eval(), peer.double().eval(), 1, 0)


def random_sources(peers: Peers, seed: int, rows: int = 5, time: int = 9) -> tuple[Tensor, Tensor | None]:
    """Rows of different lengths with their mask; a decoder-only network has rows of one length and no mask."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, peers.ours.config.vocab_size - 1, (rows, time), generator=generator)  # type: ignore[operator]
    if not isinstance(peers.ours, Seq2Seq):
        return ids, None
    lengths = torch.randint(1, time + 1, (rows,), generator=generator)
    lengths[0] = time
    mask = torch.arange(time) < lengths[:, None]  # (rows, time)
    return ids.masked_fill(~mask, peers.pad), mask
