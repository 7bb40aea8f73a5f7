"""Asks wandb what `auto` means; `services.py` runs it as a process, since wandb is slow and may wait for a network."""

import os

from lit_transformer.doctor.probe import answer


def main() -> None:
    """Answer the step wandb: its version, the mode that `auto` means, and whether it is logged in."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    from lit_transformer.training.wandb_writer import auto_mode

    mode = auto_mode()
    answer("wandb", {"version": wandb.__version__, "mode": mode, "logged_in": bool(wandb.login(prompt=False))})


if __name__ == "__main__":
    main()
