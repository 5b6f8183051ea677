"""The supernet of partial-channel DARTS, fast: start at ``supernet``."""
