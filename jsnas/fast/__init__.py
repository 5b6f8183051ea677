"""Fast forms of what other files define: the same values and gradients to float rounding, in less time and memory.

``inference`` is a network that restores, ``training`` one that learns; the supernet of a search has its own in
``jsnas.strategy.fast``. What they share stands here: sums of gated maps (``gated_sum``), the end of a network
(``end``), convolutions as each device is fastest at them (``same_size``, ``dense_groups``), and on a GPU whole steps
as recordings (``cuda_graph``). Loops in C are in ``jsnas.native``.
"""
