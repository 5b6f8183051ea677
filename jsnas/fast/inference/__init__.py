"""A network for inference, fast: start at ``network``."""
