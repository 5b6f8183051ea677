"""Running a network on an array, and the self-ensemble by its symmetry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from jsnas.errors import InputError
from jsnas.restore import restore_array, self_ensemble

CPU = torch.device("cpu")
LQ = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def lopsided() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.ReLU())


def test_restore_array_is_the_network() -> None:
    network = lopsided().train()
    restored = restore_array(network, LQ, CPU)
    expected = network(torch.from_numpy(LQ.transpose(2, 0, 1).astype(np.float32))[None])
    assert restored.shape == (18, 26, 3)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, expected[0].detach().permute(1, 2, 0).numpy(), atol=1e-4)
    assert network.training
    np.testing.assert_array_equal(restore_array(network, LQ.astype(np.float32), CPU), restored)


def test_self_ensemble_commutes_with_every_flip_and_rotation() -> None:
    network = lopsided()
    whole = self_ensemble(network, LQ, CPU)
    assert whole.shape == (18, 26, 3)
    assert np.abs(whole - restore_array(network, LQ, CPU)).max() > 1  # a lopsided network does not
    for turns in range(4):
        for flip in (False, True):
            turned = np.rot90(LQ[:, ::-1] if flip else LQ, turns)
            expected = np.rot90(whole[:, ::-1] if flip else whole, turns)
            np.testing.assert_allclose(self_ensemble(network, turned, CPU), expected, atol=1e-3)


def test_self_ensemble_of_a_symmetric_network_is_the_network() -> None:
    network = nn.Upsample(scale_factor=2, mode="nearest")
    np.testing.assert_allclose(self_ensemble(network, LQ, CPU), restore_array(network, LQ, CPU), atol=1e-4)


def test_other_shapes_are_refused() -> None:
    for wrong in (LQ[..., 0], LQ[:0]):
        with pytest.raises(InputError, match="H x W x C"):
            restore_array(lopsided(), wrong, CPU)
