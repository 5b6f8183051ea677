"""Makes a config's candidate plug-ins known, so that their short names work in genotypes and checkpoints."""

from __future__ import annotations

from jsnas.candidates import register_plugin, resolve_attentions, resolve_operations
from trainers.config import Config


def use_plugins(config: Config) -> None:
    """Imports and registers every block that the config names by path or as a plug-in; nothing else is imported.

    Raises:
        InputError: If one cannot be imported, is no block, or has the name of another.
    """
    for plugin in config.plugins:
        register_plugin(plugin)
    if config.search.operations:
        resolve_operations(config.search.operations)
    if config.search.attentions:
        resolve_attentions(config.search.attentions)
