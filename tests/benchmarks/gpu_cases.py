"""The networks that gpu.py measures, at their published size and tiny: ours, a peer, and a batch that both take.

Vocabularies are padded to a multiple of 64 on both sides. Dropout is the same on both, and stated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gpu_peers import their_bert, their_glm, their_gpt, their_t5, their_unet, tutorial
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lit_transformer.config.models import (
    BertConfig,
    EncoderDecoderConfig,
    GLMConfig,
    GPTConfig,
    ModelConfig,
    SegmenterConfig,
    T5Config,
)
from lit_transformer.models import build_model
from lit_transformer.models.base import TextNetwork
from lit_transformer.nn.pixel_losses import pixel_losses

Batch = dict[str, Tensor]
Loss = Callable[[Batch], Tensor]
Build = Callable[[], tuple[nn.Module, Loss]]
"""Makes a network with fresh weights, and what gives its mean loss on a batch."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network beside its peer."""

    config: ModelConfig
    batch: Batch
    units: int
    """Tokens of both sides, or images, of a step."""
    dropout: float
    peer: str
    theirs: Build
    unit: str = "tokens/s"

    def ours(self) -> tuple[nn.Module, Loss]:
        """Our network and its mean loss."""
        network = build_model(self.config).train()
        if isinstance(network, TextNetwork):
            return network, lambda batch: mean(network.loss(**batch))
        terms = {"cross_entropy": 1.0}
        return network, lambda batch: mean(pixel_losses(network(batch["images"]), batch["masks"], terms=terms))

    def flops(self) -> int:
        """FLOPs of a step of ours, forward and backward, counted on the meta device with all logits of targets."""
        with torch.device("meta"):
            network = build_model(self.config).train()
        batch = {name: value.to("meta") for name, value in self.batch.items()}
        with FlopCounterMode(display=False) as counter:
            if isinstance(network, TextNetwork):
                targets = batch.pop("targets")
                logits = network.logits(network.target_hidden(**batch))
                nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten()).backward()
            else:
                network(batch["images"]).sum().backward()
        return counter.get_total_flops()


def mean(sums: tuple[Tensor, Tensor]) -> Tensor:
    """Sum / count."""
    return sums[0] / sums[1]


def drawn(high: int, *shape: int) -> Tensor:
    """Random ids, the same each time."""
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(sum(shape)))


def size(tiny: bool, **full: Any) -> dict[str, Any]:
    """A Transformer's size, or a tiny one in its place."""
    small = {"vocab_size": 128, "num_layers": 2, "num_heads": 2, "d_model": 32, "context_length": 32}
    return {**full, **{name: value for name, value in small.items() if name in full}} if tiny else full


def gpt2(tiny: bool) -> Case:
    """GPT-2 124M, context 1024, its vocabulary of 50,257 padded to 50,304; pre-training has no dropout."""
    shape = size(tiny, vocab_size=50304, num_layers=12, num_heads=12, d_model=768, context_length=1024)
    rows, time, vocabulary = 2 if tiny else 32, shape["context_length"], shape["vocab_size"]
    ids = drawn(vocabulary, rows, time + 1)
    batch = {"inputs": ids[:, :-1].contiguous(), "targets": ids[:, 1:].contiguous()}
    config = GPTConfig(**shape, dropout=0.0)
    return Case(config=config, batch=batch, units=rows * time, dropout=0.0, peer="transformers' GPT-2, compiled",
                theirs=lambda: their_gpt(config))  # fmt: skip


def bert(time: int) -> Callable[[bool], Case]:
    """BERT-base on rows of one length, 15 % of the places targets, 30,522 words padded to 30,528."""

    def case(tiny: bool) -> Case:
        shape = size(tiny, vocab_size=30528, num_layers=12, num_heads=12, d_model=768, context_length=512)
        length = 32 if tiny else time
        rows, targets = 2 if tiny else 16384 // time, round(0.15 * length)
        batch = {
            "inputs": drawn(shape["vocab_size"], rows, length),
            "targets": drawn(shape["vocab_size"], rows, targets),
            "target_positions": torch.rand(rows, length, generator=torch.Generator().manual_seed(0))
            .argsort(dim=1)[:, :targets].sort(dim=1).values,
        }  # fmt: skip
        config = BertConfig(**shape, dropout=0.1)
        return Case(config=config, batch=batch, units=rows * length, dropout=0.1,
                    peer="transformers' BertForMaskedLM, compiled",
                    theirs=lambda: their_bert(config))  # fmt: skip

    return case


def t5(tiny: bool) -> Case:
    """T5-base, 512 tokens in and 114 out, as its span corruption makes them."""
    shape = size(tiny, vocab_size=32128, num_layers=12, num_heads=12, d_model=768, context_length=512)
    rows, source, target = (2, 32, 8) if tiny else (24, 512, 114)
    batch = pairs(shape["vocab_size"], rows, source, target)
    config = T5Config(**shape, d_ff=64 if tiny else 3072, dropout=0.1)
    return Case(config=config, batch=batch, units=rows * (source + target), dropout=0.1,
                peer="transformers' T5ForConditionalGeneration, compiled",
                theirs=lambda: their_t5(config))  # fmt: skip


def encoder_decoder(tiny: bool) -> Case:
    """The base model of "Attention Is All You Need" on 128 tokens of each side, 37,000 tokens padded to 37,056."""
    shape = size(tiny, vocab_size=37056, num_layers=6, num_heads=8, d_model=512, context_length=256)
    rows, time = (2, 32) if tiny else (80, 128)
    batch = pairs(shape["vocab_size"], rows, time, time)
    config = EncoderDecoderConfig(**shape, d_ff=64 if tiny else 2048, dropout=0.1)
    return Case(config=config, batch=batch, units=rows * 2 * time, dropout=0.1,
                peer="torch.nn.Transformer with a tutorial's embeddings, compiled",
                theirs=lambda: tutorial(config))  # fmt: skip


def pairs(vocabulary: int, rows: int, source: int, target: int) -> Batch:
    """Full rows of both sides; a decoder is to predict what follows."""
    ids = drawn(vocabulary, rows, target + 1)
    inputs = drawn(vocabulary, rows, source)
    return {"inputs": inputs, "decoder_inputs": ids[:, :-1].contiguous(), "targets": ids[:, 1:].contiguous()}


def glm(tiny: bool) -> Case:
    """GLM at BERT-base size on rows of 512: 418 places of text with blanks, 94 of what fills them."""
    shape = size(tiny, vocab_size=30528, num_layers=12, num_heads=12, d_model=768, context_length=512)
    rows, time = (2, 32) if tiny else (32, 512)
    targets = time * 4 // 22
    prefix = time - targets
    places = torch.arange(time).expand(rows, time)
    batch = {
        "inputs": drawn(shape["vocab_size"], rows, time),
        "targets": drawn(shape["vocab_size"], rows, targets),
        "target_positions": places[:, prefix:].contiguous(),
        "prefix_length": torch.full((rows,), prefix),
        "positions": torch.where(places < prefix, places + 1, (places - prefix) // 4 + 1),
        "block_positions": torch.where(places < prefix, 0, (places - prefix) % 4 + 1),
    }
    config = GLMConfig(**shape, dropout=0.1)
    return Case(config=config, batch=batch, units=rows * time, dropout=0.1,
                peer="transformers' BertForMaskedLM under GLM's mask, compiled",
                theirs=lambda: their_glm(config))  # fmt: skip


def unet(tiny: bool) -> Case:
    """The U-Net of 31 million weights at 572 x 572, with batch norm; theirs has a side that is a multiple of 32."""
    rows, side = (2, 36) if tiny else (8, 572)
    config = SegmenterConfig(num_stages=2 if tiny else 4, base_channels=8 if tiny else 64, num_classes=2,
                             upsampling="transposed")  # fmt: skip
    images = torch.randn(rows, 3, side, side, generator=torch.Generator().manual_seed(0))
    batch = {"images": images, "masks": drawn(2, rows, side, side)}
    return Case(config=config, batch=batch, units=rows, dropout=0.0, unit="images/s",
                peer="segmentation_models_pytorch's Unet (vgg13_bn, whole width) at the next multiple of 32, compiled",
                theirs=lambda: their_unet(tiny))  # fmt: skip


CASES: dict[str, Callable[[bool], Case]] = {
    "gpt2": gpt2,
    "bert_512": bert(512),
    "bert_128": bert(128),
    "t5": t5,
    "encoder_decoder": encoder_decoder,
    "glm": glm,
    "unet": unet,
}
"""Name -> a case, tiny or not."""
