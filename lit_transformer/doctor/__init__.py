"""Will runs work on this machine, and how fast is it: one check, one line."""
