"""NNI's regularised evolution, mended: it mutates only once there is somebody to mutate."""

from __future__ import annotations

from typing import Any

from jsnas.strategy.nni_api import RegularizedEvolution


class MendedEvolution(RegularizedEvolution):
    """Regularised evolution (Real et al., AAAI 2019) that draws at random while no trial has a result.

    NNI's ends with an error where the trials of the first population have all failed, or where more of them may run
    at once than the population holds.
    """

    def new_individual(self) -> Any:
        """A mutated parent, or a random architecture where there is no parent yet."""
        return super().new_individual() if self._population else self.random()
