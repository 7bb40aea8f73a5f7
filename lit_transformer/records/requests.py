"""What a run is asked by others: to stop, to make room, or that its sweep has seen enough of it.

A file in the run's folder, written by rename, read by rank 0 between two steps; all ranks then save and end together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.run_folder import RunFolder

What = Literal["stop", "preempt", "prune"]
WHATS: tuple[What, ...] = get_args(What)
"""`stop` and `preempt` leave a run that goes on later, `prune` one that is done, with a result."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked, and why."""

    what: What
    why: str
    details: Mapping[str, object] = field(default_factory=dict)
    """What the result and the sweep's log say of it."""


def write_request(run: RunFolder, request: Request) -> None:
    """Ask; raises OSError. A later request takes the place of an earlier one."""
    write_json(run.request_file, {"what": request.what, "why": request.why, "details": dict(request.details)})


def read_request(run: RunFolder) -> Request | None:
    """What the run is asked; None where there is nothing, or nothing that can be read."""
    content = read_json(run.request_file)
    details = content.get("details")
    what = next((known for known in WHATS if known == content.get("what")), None)
    if what is None:
        return None
    return Request(what=what, why=str(content.get("why", "")), details=details if isinstance(details, Mapping) else {})


def forget_request(run: RunFolder, *whats: What) -> None:
    """Take back a request of these kinds (all of them without any): it was answered, or the run starts anew."""
    request = read_request(run)
    if request is None or not whats or request.what in whats:
        run.request_file.unlink(missing_ok=True)
