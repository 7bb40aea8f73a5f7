"""The runs and sweeps under a folder as pages in a browser, live while they train; served from this machine alone."""
