"""Where a thing is now: a sentence about moving it, and two places that it names."""

from lit_transformer.data.generated.picks import Fields, Picks, draw_rows

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karl", "Leo")
THINGS = ("key", "book", "lamp", "ball", "coat", "drum", "cup", "map", "clock", "ring", "brush", "kite")
PLACES = (
    "kitchen", "garden", "attic", "cellar", "hall", "garage", "office", "library", "tower", "barn", "shed", "studio",
)  # fmt: skip

MOVED = (
    "{name} carried the {thing} from the {old} to the {new}.",
    "{name} carried the {thing} to the {new} from the {old}.",
    "From the {old}, {name} brought the {thing} to the {new}.",
    "The {thing} came to the {new} when {name} cleared the {old}.",
)
"""Sentences after which the thing is in the new place."""

KEPT = (
    "{name} wanted to carry the {thing} from the {old} to the {new}, but left it there.",
    "{name} forgot to bring the {thing} to the {new} from the {old}.",
    "{name} went from the {old} to the {new} without the {thing}.",
    "{name} went to the {new} and left the {thing} in the {old}.",
)
"""Sentences after which it is still in the old one."""


def multiple_choice_rows() -> dict[str, list[Fields]]:
    """`context`, `choice1`, `choice2` and `label` (the right choice's number from 0) of each split.

    Either choice is right equally often, the thing is moved or not equally often, and both places are named.
    """
    return draw_rows("multiple choice", _row, "context")


def _row(index: int, picks: Picks) -> Fields:
    right, moved = index % 2, index // 2 % 2
    name, thing = picks.one(NAMES), picks.one(THINGS)
    old, new = picks.some(PLACES, 2)
    context = picks.one(MOVED if moved else KEPT).format(name=name, thing=thing, old=old, new=new)
    places = [new, old] if moved else [old, new]  # the right one first
    choices = [f"The {thing} is in the {place}." for place in (places if right == 0 else reversed(places))]
    return {"context": context, "choice1": choices[0], "choice2": choices[1], "label": str(right)}
