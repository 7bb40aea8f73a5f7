"""Which names of this machine a browser may use: an exact list, on any port, so that `ssh -L` works."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from lit_transformer.config.errors import UserError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ANY = ("0.0.0.0", "::")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(:(?P<port>[0-9]{1,5}))?", re.IGNORECASE)


def name_in(host: str) -> str | None:
    """The name in a Host header, lower-case and without its port; None where it is not one."""
    found = _HOST.fullmatch(host)
    if found is None or not host.isascii() or int(found["port"] or 1) not in range(1, 65536):
        return None
    return found["name"].lower()


def name_in_origin(origin: str) -> str | None:
    """The host name in an Origin header; None for `null` and all that is no origin of a page."""
    scheme, mark, rest = origin.partition("://")
    return name_in(rest) if mark and scheme in ("http", "https") else None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    return bracketed(host) in LOOPBACK


def bracketed(host: str) -> str:
    """An address as it stands in a URL: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()


def allowed_names(host: str, extra: Iterable[str]) -> frozenset[str]:
    """The names that Host and Origin may bear; UserError where `--allow-host` holds something else than a name."""
    names = {*LOOPBACK}
    if host not in ANY:
        names.add(bracketed(host))
    for name in extra:
        found = name_in(bracketed(name)) if ":" not in name or name.count(":") > 1 else None
        if found is None or "://" in name or urlsplit(f"//{found}").path:
            raise UserError(
                f"--allow-host\n  got      {name}\n  allowed  a host's name, without scheme and port\n"
                "  fix      --allow-host lab-server"
            )
        names.add(found)
    return frozenset(names)
