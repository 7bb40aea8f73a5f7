"""`python -m lit_transformer.processes.tied ARGUMENTS`: our command line, killed as soon as standard input closes.

For the ranks of an `srun` step: srun carries its standard input to every task on every node, so that they all end with
whoever started the step, however that one ends.
"""

import runpy

from lit_transformer.processes.watch import end_with_stdin

if __name__ == "__main__":
    end_with_stdin()
    runpy.run_module("lit_transformer", run_name="__main__", alter_sys=True)
