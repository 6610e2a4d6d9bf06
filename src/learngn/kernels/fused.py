"""PyTorch's own fused operations, where they are faster than the reference: what training differentiates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from learngn.kernels.reference import ReferenceKernels


class TorchKernels(ReferenceKernels):
    """Reference on tensors, with PyTorch's sampling: one operation, and one in the derivative, instead of dozens."""

    name = "torch"

    def _sampled(
        self, image: Tensor, field: Tensor | None, matrix: NDArray[np.float64], shape: Sequence[int]
    ) -> Tensor:
        index = torch.stack(self._coordinates(field, matrix, shape, image), dim=-1)
        size = torch.tensor(image.shape[2:], dtype=image.dtype, device=image.device)
        # grid_sample takes x first, and coordinates from -1 to 1 over the whole extent; this convention stays here.
        normalised = ((2 * index + 1) / size - 1).flip(-1)
        return F.grid_sample(image, normalised, mode="bilinear", padding_mode="border", align_corners=False)


FUSED = TorchKernels()
