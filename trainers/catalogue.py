"""What can be named in a config, with a line about each; importing it imports neither torch nor NNI."""

from __future__ import annotations

# The supernet is trained once; these derive an architecture from it.
DIFFERENTIABLE = {
    "pc_darts": "partial-channel DARTS, the paper's (first or second order)",
    "darts": "DARTS of NNI, all channels (first or second order)",
    "gumbel_darts": "DARTS of NNI with Gumbel noise and a falling temperature",
    "proxyless": "ProxylessNAS of NNI, one path at a time",
}
SAMPLING = {
    "enas": "ENAS of NNI, a controller learns which paths to draw (needs jsnas[rl])",
    "random_oneshot": "random paths share weights; the best of search.max_trials on validation wins",
}
# One network is trained for each trial, search.max_trials in all.
MULTI_TRIAL = {
    "random": "random search",
    "grid": "all combinations, in order",
    "evolution": "regularised evolution",
    "tpe": "tree-structured Parzen estimator",
    "rl": "policy-based reinforcement learning (needs jsnas[rl])",
}
STRATEGIES = {**DIFFERENTIABLE, **SAMPLING, **MULTI_TRIAL}

SPACES = {
    "joint": "operations and attentions together, as in the paper",
    "operation": "operations alone (Table 2)",
    "attention": "attentions alone, after residual blocks (Table 3)",
}
