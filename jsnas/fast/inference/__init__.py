"""A network for inference, fast: start at ``network``.

``rows`` runs a graph of steps, some rows of an image at a time; ``blocks`` and ``ends`` turn a network into such steps:
``convolution_sum``, ``gated_sum`` and ``statistics``.
"""
