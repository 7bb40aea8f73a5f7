"""`python -m lit_transformer`: the command line, for launchers such as `torchrun -m lit_transformer fit ...`."""

from lit_transformer.cli import main

if __name__ == "__main__":
    main()
