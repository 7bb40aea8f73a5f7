"""`objective.losses`: the losses of pixels that are added, and their weights."""

LOSSES = ("cross_entropy", "bce", "dice", "focal")


def parse_losses(text: str | None, num_logits: int) -> dict[str, float]:
    """Loss -> weight, of text such as `cross_entropy, 0.5 dice`; raises ValueError with what is wrong.

    null is cross_entropy, with one logit a pixel bce.
    """
    if text is None:
        return {"bce" if num_logits == 1 else "cross_entropy": 1.0}
    found: dict[str, float] = {}
    for part in text.split(","):
        words = part.split()
        name = words[-1] if words else ""
        if name not in LOSSES or len(words) > 2:
            raise ValueError(f"{part.strip()!r} is no loss")
        if name in found:
            raise ValueError(f"{name} stands twice")
        weight = float(words[0]) if len(words) == 2 else 1.0
        if not 0 < weight < float("inf"):
            raise ValueError(f"the weight of {name} is {weight:g}")
        found[name] = weight
    if num_logits == 1 and "cross_entropy" in found:
        raise ValueError("cross_entropy needs two logits or more, and there is one")
    return found
