"""Python and the packages against what the installed metadata ask for; nothing is imported."""

import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from lit_transformer.doctor.check import Check
from lit_transformer.version import __version__

PACKAGE = "lit-transformer"

MALICIOUS = {"lightning": ("2.6.2", "2.6.3")}
"""Versions that were uploaded by an attacker."""

REASONS = {
    "torch": "2.10 is the first whose torch.load is safe",
    "lightning": "2.6.6 is the first whose checkpoints cannot run code",
    "wandb": "0.29 fixes a path traversal",
}
"""Why an older one than the minimum is dangerous."""


def versions() -> Iterator[Check]:
    """Python, lit-transformer, and every package that it requires."""
    try:
        wanted = str(metadata(PACKAGE)["Requires-Python"])
        needs = requires(PACKAGE) or []
    except PackageNotFoundError:
        yield Check(name=PACKAGE, state="warning", found=f"{__version__}, not installed: its needs are not known")
        return
    yield _python(wanted)
    yield Check(name=PACKAGE, state="ok", found=__version__)
    fine: list[str] = []
    for need in needs:
        found = _package(need)
        if isinstance(found, Check):
            yield found
        else:
            fine.append(found)
    yield Check(name="packages", state="ok", found=", ".join(fine))


def _python(wanted: str) -> Check:
    here = platform.python_version()
    bounds = re.findall(r"(>=|<)\s*([\d.]+)", wanted)
    fits = all((numbers(here) >= numbers(bound)) == (sign == ">=") for sign, bound in bounds)
    if fits:
        return Check(name="Python", state="ok", found=here)
    fix = f"make the environment with a Python {wanted}"
    return Check(name="Python", state="problem", found=f"{here}, needs {wanted}", fix=fix)


def _package(need: str) -> Check | str:
    """A requirement such as `torch>=2.10` or `datasets>=4.0; extra == 'hub'`: what is wrong, else name and version."""
    name, least, extra = parsed(need)
    try:
        found = version(name)
    except PackageNotFoundError:
        if extra:
            return f"{name} absent (extra {extra})"
        return Check(name=f"package {name}", state="problem", found="not installed", fix=_install(name, least))
    if found in MALICIOUS.get(name, ()):
        fix = f"{_install(name, least)}, and replace every secret that this account could read"
        return Check(name=f"package {name}", state="problem", found=f"{found} is a malicious upload", fix=fix)
    if numbers(found) < numbers(least):
        reason = f" ({REASONS[name]})" if name in REASONS else ""
        return Check(
            name=f"package {name}", state="problem", found=f"{found}, needs {least}{reason}", fix=_install(name, least)
        )
    return f"{name} {found}"


def _install(name: str, least: str) -> str:
    if name in ("torch", "torchvision"):  # a new one of either must fit the other
        return "install the newest torch and torchvision together, from one index"
    return f"pip install --upgrade '{name}>={least}'"


def parsed(need: str) -> tuple[str, str, str]:
    """Name, least version and extra of a requirement, the latter two empty where there are none."""
    name = re.match(r"[\w.-]+", need)
    least = re.search(r">=\s*([\d.]+)", need)
    extra = re.search(r"extra == ['\"]([\w-]+)", need)
    assert name is not None
    return name[0], least[1] if least else "", extra[1] if extra else ""


def numbers(text: str) -> tuple[int, ...]:
    """A version's leading numbers, so that a vendor's 2.10.0a0+abc counts as 2.10."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
