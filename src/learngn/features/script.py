"""Networks in TorchScript files as features."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learngn.arrays import Array, finite, is_tensor, narrow, require_torch
from learngn.errors import FeatureError
from learngn.features.base import Feature, FeatureImage, Traits
from learngn.features.intensity import Intensity
from learngn.features.network_feature import NetworkFeature
from learngn.features.probabilities import of_unit_size
from learngn.geometry.image import Image
from learngn.io import read_module


@dataclass(frozen=True)
class NetworkFile:
    """Output channels of a network in a TorchScript file, scaled like :class:`ChannelFiles`.

    The file contains a program, which is run: only use files from people you trust. Make one with
    ``torch.jit.trace(network, example).save("network.pt")`` or ``torch.jit.script(network)``, for example from a
    network of MONAI.

    Attributes
    ----------
    path : str
    base : Feature
        Input of the network: by default one channel from 0 to 1.
    multiple : int
        The input is padded to a multiple of this along each axis, by border values, and the output cropped [voxel].
    """

    path: str
    base: Feature = field(default_factory=Intensity)
    multiple: int = 32

    @property
    def traits(self) -> Traits:
        """Traits of the base after a network."""
        return self.base.traits.through_network()

    @property
    def name(self) -> str:
        """Name in the format of :func:`learngn.features.parse_features`."""
        return f"network={self.path}"

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`.

        Raises
        ------
        FeatureError
            If the file cannot be read or its network does not map (1, C, *S) to finite values of (1, C', *S).
        """
        torch = require_torch(f"feature {self.name}, a network")
        module = read_module(Path(self.path), fixed.data.device if is_tensor(fixed.data) else torch.device("cpu"))
        feature = NetworkFeature(self.base, lambda x: self._run(module, x), self.name)
        with torch.no_grad():
            first, second = feature(fixed, moving, spacing)
        return of_unit_size(first, second)

    def _run(self, module: Any, x: Array) -> Array:
        shape = x.shape[2:]
        pad = [amount for n in reversed(shape) for amount in (0, -n % self.multiple)]
        torch = require_torch("a network")
        try:
            out = module(torch.nn.functional.pad(x, pad, mode="replicate"))
        except RuntimeError as failure:
            raise FeatureError(
                f"network {self.path}",
                f"'{str(failure).strip().splitlines()[-1]}' for an input of shape {tuple(x.shape)}",
                f"a network for {x.shape[1]} channels in {len(shape)}D",
                "export one that accepts such an input",
            ) from failure
        expected = f"a tensor (1, C, {', '.join(map(str, shape))})"
        if not is_tensor(out) or out.ndim != x.ndim:
            got = f"of shape {tuple(out.shape)}" if is_tensor(out) else type(out).__name__
            raise FeatureError(f"network {self.path}", f"an output {got}", expected, "return one tensor")
        for axis, size in enumerate(shape):
            out = narrow(out, axis + 2, 0, min(size, out.shape[axis + 2]))
        if not finite(out):
            raise FeatureError(f"network {self.path}", "an output with NaN or infinity", expected, "correct it")
        return out
