"""`python -m lit_transformer.processes.asked MODULE ...`: run a module for a process, and end with it.

Standard input is the pipe of whoever asked, whose end kills this process and its group. srun carries it to every task
on every node, so that a step's ranks end with whoever started the step, however that one ends.
"""

import runpy
import sys

from lit_transformer.processes.watch import end_with_stdin


def main() -> None:
    """Run the module that the first argument names with the others as its own."""
    end_with_stdin()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
