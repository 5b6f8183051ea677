"""Our checkpoints for spandrel, and so for the tools that open models by it (the extra ``spandrel``)::

    import jsnas.spandrel_arch
    from spandrel import ModelLoader

    jsnas.spandrel_arch.install()
    model = ModelLoader().load_from_file("checkpoint.safetensors")  # images in [0, 1] to the same

spandrel sees the tensors of a file and not its metadata, so a checkpoint holds its description as a tensor too. The
``.pth`` of ``--layout basicsr`` does not, since BasicSR loads ``params`` strictly: spandrel cannot open that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from jsnas.checkpoint import DESCRIPTION, described_network
from jsnas.errors import InputError
from jsnas.network import JSNet

try:
    from spandrel import (
        MAIN_REGISTRY,
        Architecture,
        ArchSupport,
        ImageModelDescriptor,
        ModelTiling,
        SizeRequirements,
    )
except ModuleNotFoundError as missing:
    raise InputError(
        f"Opening checkpoints by spandrel needs the package {missing.name}; say `pip install 'jsnas[spandrel]'`."
    ) from missing


class JSNetArchitecture(Architecture):
    """JSNet as spandrel knows architectures; a network whose blocks are not ours needs them registered first."""

    def __init__(self) -> None:
        super().__init__(id="JSNet", name="JSNet (jsnas)", detect=lambda state: DESCRIPTION in state)

    def load(self, state_dict: Mapping[str, Any]) -> ImageModelDescriptor:
        """The model of a checkpoint's tensors; images are B x C x H x W in [0, 1].

        Raises:
            InputError: If the description is damaged or names a block that is not known.
        """
        try:
            description = json.loads(bytes(state_dict[DESCRIPTION].tolist()))
        except ValueError as error:
            raise InputError(f"The tensor '{DESCRIPTION}' is no description of jsnas ({error}).") from error
        network = described_network(description)
        task, settings = network.metadata["task"], network.settings
        return ImageModelDescriptor(
            network.eval(),
            {name: value for name, value in state_dict.items() if name != DESCRIPTION},
            architecture=self,
            purpose="SR" if task.name == "sr" else "Restoration",
            tags=[task.label, f"{settings.modules} modules"],
            supports_half=False,  # 255 in 16 bits leaves steps of 1/8; `jsnas export --precision fp16` knows how
            supports_bfloat16=False,
            scale=settings.scale,
            input_channels=settings.image_channels,
            output_channels=settings.image_channels,
            size_requirements=SizeRequirements(minimum=network.smallest_input),
            tiling=ModelTiling.DISCOURAGED,  # the network looks at the whole image
            call_fn=_call,
        )


def install() -> None:
    """Makes our checkpoints known to spandrel's ``ModelLoader()``, once however often it is called."""
    others = tuple(known.architecture.id for known in MAIN_REGISTRY if known.architecture.id != "JSNet")
    MAIN_REGISTRY.add(ArchSupport.from_architecture(JSNetArchitecture(), before=others), ignore_duplicates=True)


def _call(network: JSNet, image: Tensor) -> Tensor:
    restored: Tensor = network(image * 255) / 255
    return restored
