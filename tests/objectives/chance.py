"""Whether counts come from a law, for tests of what is drawn."""

import numpy as np
from numpy.typing import ArrayLike


def fits(counts: ArrayLike, law: ArrayLike | None = None) -> bool:
    """Whether chi-square lies within four standard deviations of its mean; no law: all are as likely."""
    found = np.asarray(counts, dtype=float).ravel()
    shares = np.ones_like(found) if law is None else np.asarray(law, dtype=float).ravel()
    expected = found.sum() * shares / shares.sum()
    assert expected.min() >= 5, "too few draws for a verdict"
    square, freedom = ((found - expected) ** 2 / expected).sum(), len(found) - 1
    return bool(abs(square - freedom) < 4 * np.sqrt(2 * freedom))
