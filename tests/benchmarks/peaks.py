"""Most bytes that a training step holds, ours beside the peer's, at a vocabulary of 50,257."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from case import Case
from counting import peak_bytes
from figures import Figure
from systems import bert, encoder_decoder, glm, gpt, segmenter, t5
from systems.shapes import Shape

VOCABULARY, BOUND = 50_257, 0.8
TRAININGS: dict[str, tuple[Shape, Callable[[Shape, float], Case]]] = {
    "GPT": (gpt.SHAPES[1], gpt.training),
    "BERT": (bert.SHAPES[1], bert.training),
    "T5": (t5.SHAPES[1], t5.training),
    "encoder-decoder": (encoder_decoder.SHAPES[1], encoder_decoder.training),
    "GLM": (glm.SHAPES[1], glm.training),
}


def cases() -> list[Case]:
    """Training at d 256 with the large vocabulary, and the segmenter's at its middle size."""
    large = [make(replace(shape, vocab_size=VOCABULARY), 0.1) for shape, make in TRAININGS.values()]
    size = segmenter.SIZES["d 256"]
    theirs = partial(segmenter.in_format, segmenter.their_training, size, torch.channels_last)  # as ours
    images = next(case for case in segmenter.cases() if case.work == "training" and case.shape == "d 256")
    return [*large, replace(images, theirs=theirs)]


def measure(case: Case) -> Figure:
    """Ours over theirs, with the bytes of both."""
    held = {}
    for name, make in (("ours", case.ours), ("theirs", case.theirs)):
        torch.manual_seed(0)
        held[name] = peak_bytes(make)
    text = case.system != "segmenter"
    size = f", vocabulary {VOCABULARY:,}" if text else ""
    facts: dict[str, object] = {"system": case.system, "peer": case.peer, "memory": True, **held}
    return Figure(
        f"peak memory of {case.name}{size}, over {case.peer}", held["ours"] / held["theirs"], "x",
        BOUND if text else None, facts=facts,
        note=f"{held['ours'] / 1e6:,.0f} and {held['theirs'] / 1e6:,.0f} MB of tensors, weights and moments included",
    )  # fmt: skip
