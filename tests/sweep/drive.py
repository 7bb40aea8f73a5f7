"""Run as a process: the command line with another worker. Arguments: the worker's module, then the shell's."""

import sys

from lit_transformer.cli import main
from lit_transformer.sweep import pool

if __name__ == "__main__":
    pool.WORKER = sys.argv.pop(1)
    try:
        main()
    finally:
        assert "torch" not in sys.modules
