"""Attention heads weighed or taken out, of any network, without a change to its layers.

What a layer's heads found is multiplied before its output projection mixes them (Michel, Levy, Neubig 2019, section
2.2), by a hook that is there only within `mask_heads`: outside it not one operator is added.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from lit_transformer.nn.attention import attention_layers
from lit_transformer.nn.packing import padded


@contextmanager
def mask_heads(network: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Within it the heads of the named attention layers count by their mask: 1 as they are, 0 not at all.

    A name is one of `attention_layers`, a mask (heads,), or (rows, heads) with a mask of each row, in which case each
    row of a batch may be as many sequences behind one another. Gradients reach the masks. Compiled networks run
    uncompiled meanwhile and are not compiled again afterwards; nested masks multiply. Raises ValueError for an unknown
    name and a mask of another number of heads.
    """
    layers = attention_layers(network)
    with ExitStack() as hooks:
        for name, mask in masks.items():
            if name not in layers:
                raise ValueError(f"there is no attention layer {name}; there are: {', '.join(layers)}")
            if mask.shape[-1] != layers[name].num_heads:
                raise ValueError(f"{name} has {layers[name].num_heads} heads, its mask has {mask.shape[-1]}")
            hooks.callback(layers[name].output.register_forward_pre_hook(_hook(mask)).remove)
        # a compiled graph does not look for hooks that came after it
        hooks.enter_context(torch.compiler.set_stance("force_eager"))
        hooks.enter_context(padded())  # a mask of each row needs the rows
        yield


def _hook(mask: Tensor) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
    mask = mask.reshape(-1, mask.shape[-1])  # (rows or 1, heads)

    def weigh(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        (attended,) = inputs  # (sequences, queries, heads * head_dim)
        factors = mask if len(mask) == 1 else mask.repeat_interleave(len(attended) // len(mask), dim=0)
        by_head = attended.unflatten(-1, (mask.shape[-1], -1))  # (sequences, queries, heads, head_dim)
        return ((by_head * factors[:, None, :, None].to(attended.dtype)).flatten(-2),)

    return weigh
