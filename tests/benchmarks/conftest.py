"""The benchmarks are scripts beside one another, and import each other as such."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
