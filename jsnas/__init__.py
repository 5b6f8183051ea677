"""jsnas: architecture search for lightweight image restoration.

``import jsnas`` imports neither NNI nor Lightning; searching (``jsnas.strategy``, ``search_spaces``) does.
"""

from jsnas.checkpoint import load_checkpoint, save_checkpoint
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.task import Task

__all__ = ["Genotype", "InputError", "JSNet", "NetworkSettings", "Task", "load_checkpoint", "save_checkpoint"]
