"""Token ids as every objective takes and gives them."""

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

IGNORED = -100
"""A target where there is nothing to predict."""
