"""Search strategies for NNI. Importing this package imports NNI and Lightning; ``import jsnas`` does not."""

from jsnas.strategy.enas import EnasSettings, MendedENAS
from jsnas.strategy.evolution import MendedEvolution
from jsnas.strategy.one_shot import (
    DartsSettings,
    GumbelSettings,
    MendedDARTS,
    MendedGumbelDARTS,
    MendedProxyless,
)
from jsnas.strategy.pc_darts import PartialChannelDARTS, PartialChannelSettings
from jsnas.strategy.random_one_shot import MendedRandomOneShot, RandomOneShotSettings

__all__ = [
    "DartsSettings",
    "EnasSettings",
    "GumbelSettings",
    "MendedDARTS",
    "MendedENAS",
    "MendedEvolution",
    "MendedGumbelDARTS",
    "MendedProxyless",
    "MendedRandomOneShot",
    "PartialChannelDARTS",
    "PartialChannelSettings",
    "RandomOneShotSettings",
]
