"""torch, torchvision and the devices that they reach: what works, and how fast."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from lit_transformer.doctor.check import Check
from lit_transformer.doctor.probe import Answers, probe
from lit_transformer.doctor.versions import numbers
from lit_transformer.processes.gpus import visible_gpus

TOGETHER = "install torch and torchvision together, from one index"
PROBE = "lit_transformer.doctor.torch_probe"
TIMEOUT = 120.0
"""Seconds; on a cold network disk torch alone takes a minute to import."""


def networks() -> Iterator[Check]:
    """torch, torchvision, CUDA, MPS, then the speed of each device."""
    answers = probe(PROBE, timeout=TIMEOUT)
    torch = answers.get("torch")
    if "error" in torch:
        yield Check(name="torch", state="problem", found=f"import: {torch['error']}", fix=TOGETHER)
        return
    built = f"built for CUDA {torch['cuda']}" if torch["cuda"] else "built without CUDA"
    yield Check(name="torch", state="ok", found=f"{torch['version']} works, {built}")
    yield _torchvision(answers)
    yield _cuda(answers)
    yield Check(name="MPS", state="ok", found="available" if torch["mps"] else "none here")
    yield from _speeds(answers)


def _torchvision(answers: Answers) -> Check:
    found, name = answers.get("torchvision"), "torchvision"
    if "error" in found:
        return Check(name=name, state="problem", found=str(found["error"]), fix=TOGETHER)
    try:
        torch, vision = version("torch"), version("torchvision")
    except PackageNotFoundError as error:
        return Check(name=name, state="problem", found=f"{error}", fix=TOGETHER)
    fits = paired(torch, vision)
    found_text = f"{vision} beside torch {torch}: its operators work" + (
        "" if fits else ", but it was made for another"
    )
    return Check(name=name, state="ok" if fits else "warning", found=found_text, fix="" if fits else TOGETHER)


def paired(torch: str, vision: str) -> bool:
    """Whether the two versions were released together: torch 2.N with torchvision 0.(N + 15)."""
    ours, theirs = numbers(torch)[:2], numbers(vision)[:2]
    return ours[0] != 2 or theirs == (0, ours[1] + 15)


def _cuda(answers: Answers) -> Check:
    torch, gpus = answers.get("torch"), visible_gpus()
    devices = torch["devices"]
    assert isinstance(devices, list)
    if not torch["available"] and gpus:
        why = torch["said"] or ("torch is built without CUDA" if not torch["cuda"] else "torch gives no reason")
        least = "a newer NVIDIA driver, or a torch built for an older CUDA" if torch["cuda"] else "a torch with CUDA"
        found = f"torch reaches none of {len(gpus)} NVIDIA GPUs: {why}"
        return Check(
            name="CUDA", state="problem", found=found, fix=f"install {least}, with the torchvision that fits it"
        )
    if not devices:
        return Check(name="CUDA", state="ok", found="no GPU to use: runs train on the CPU")
    if gpus and len(gpus) != len(devices):
        found = f"torch reaches {len(devices)} GPUs and nvidia-smi lists {len(gpus)}"
        return Check(name="CUDA", state="warning", found=found, fix="check CUDA_VISIBLE_DEVICES")
    return Check(name="CUDA", state="ok", found=f"torch reaches {', '.join(map(str, devices))}")


def _speeds(answers: Answers) -> Iterator[Check]:
    torch = answers.get("torch")
    devices = torch["devices"]
    assert isinstance(devices, list)
    mps = ["mps"] if torch["mps"] else []
    for device in ["cpu", *(f"cuda:{index}" for index in range(len(devices))), *mps]:
        speed = answers.get(f"speed {device}")
        if "error" in speed:
            fix = "free the device, or install a torch that is built for it" if device != "cpu" else TOGETHER
            yield Check(name=f"speed {device}", state="problem", found=str(speed["error"]), fix=fix)
            continue
        single, half, copy = (float(str(speed[key])) for key in ("float32", "bfloat16", "copy"))
        threads = f" on {speed['threads']} threads" if device == "cpu" else ""
        found = (
            f"matrix product {flops(single)} in float32, {flops(half)} in bfloat16{threads}; "
            f"memory {copy / 1e9:.1f} GB/s (a copy, read + written)"
        )
        yield Check(name=f"speed {device}", state="ok", found=found)


def flops(rate: float) -> str:
    """FLOP/s with three digits."""
    return f"{rate / 1e12:.3g} TFLOP/s" if rate >= 1e12 else f"{rate / 1e9:.3g} GFLOP/s"
