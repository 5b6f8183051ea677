"""A network that learns, fast: start at ``network``."""
