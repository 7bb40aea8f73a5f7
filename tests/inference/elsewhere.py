"""A second device for machines that have but one: it computes as the CPU does, and refuses what lies on another."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("lazy")
"""What its tensors say when they are asked where they are: a name of torch's own behind which no device is built."""

aten = torch.ops.aten
CROSSES = (aten._to_copy.default, aten.copy_.default)
"""What may take from one device to the other."""

INDEXED = (aten.index.Tensor, aten.index_put_.default)
"""Their indices, the second argument, may lie on the CPU, as a GPU's may."""

PRODUCTS = (
    aten.mm.default, aten.bmm.default, aten.addmm.default, aten.matmul.default, aten.linear.default,
    aten.convolution.default, aten.conv2d.default,
)  # fmt: skip
"""What networks are made of: none of it belongs on the CPU meanwhile."""


class Elsewhere(Tensor):
    """A tensor on the second device."""

    here: Tensor
    """Its numbers."""

    @staticmethod
    def __new__(cls, here: Tensor) -> "Elsewhere":
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.size(), here.stride(), here.storage_offset(), dtype=here.dtype, device=DEVICE
        )

    def __init__(self, here: Tensor) -> None:
        self.here = here

    def tolist(self) -> Any:
        return self.here.tolist()

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """Within it, tensors can be made on the second device, and the CPU multiplies no matrices."""

    def __enter__(self) -> "SecondDevice":
        torch._C._set_only_lift_cpu_tensors(
            True
        )  # torch.tensor(..., device=) makes them here, and then takes them over
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, on the device of its tensors, or on that which it is told to make a tensor on."""
    checked = (args[0], args[2:]) if func in INDEXED else args
    tensors = [leaf for leaf in tree_leaves((checked, kwargs)) if isinstance(leaf, Tensor)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere)]
    away = len(here) < len(tensors)
    assert not here or func not in PRODUCTS, f"{func} on the CPU"
    if away and func not in CROSSES:  # a number may be taken along, as to a GPU
        lone = [tuple(tensor.shape) for tensor in here if tensor.ndim]
        assert not lone, f"{func} mixes devices: what is {lone} lies on the CPU"
    if func is aten._fused_sdp_choice.default:
        return 0  # the plain way: of the fused ones each device has an operation of its own
    asked = kwargs.get("device")
    numbers, options = tree_map_only(Elsewhere, lambda tensor: tensor.here, (tuple(args), kwargs))
    found = func(*numbers, **tree_map_only(torch.device, lambda device: torch.device("cpu"), options))
    if func._schema.is_mutable:
        return kwargs["out"] if "out" in kwargs else args[0]
    goes = away if asked is None else torch.device(asked).type == DEVICE.type
    with torch.inference_mode(False):  # whose tensors cannot be views of wrapped ones
        return tree_map_only(Tensor, Elsewhere, found) if goes else found
