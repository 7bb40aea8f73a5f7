"""The fork server, the pipes that tie a process to its parent, and the environment of ranks."""
