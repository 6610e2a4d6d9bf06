"""Learned linearisation: compact CNNs that predict J, f and w."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learngn.errors import ShapeError
from learngn.linearise.analytic import Analytic
from learngn.linearise.linearisation import Linearisation, NormalEquations


class LearnedLinearisation(nn.Module):
    """Learned corrections of the analytic residual and Jacobian, and a confidence, from fixed and warped features.

    ``f = f₀ + Δf``, ``J = J₀ + ΔJ``, ``w = exp(s)``, where f₀, J₀ are those of :class:`Analytic` and Δf, ΔJ, s the
    outputs of two convolutions and a last one initialised with zeros: before training it *is* the analytic
    linearisation. As w > 0, the blocks JᵀWJ are positive semi-definite whatever the network predicts.

    Parameters
    ----------
    channels : int
        Number of channels of the features, C.
    ndim : int
        Number of dimensions, 2 or 3.
    hidden : int
        Number of channels of the hidden layers.
    weight : bool
        Predict the confidence; otherwise w = 1.
    symmetric : bool
        See :class:`Analytic`.

    References
    ----------
    M. P. Heinrich, "Learning Registration Models with Differentiable Gauss-Newton Optimisation", MIDL 2022: there J
    and f come from linear convolutions alone (:class:`PublishedLinearisation`).
    """

    refinement = 1

    def __init__(
        self, channels: int, ndim: int, *, hidden: int = 16, weight: bool = True, symmetric: bool = True
    ) -> None:
        super().__init__()
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.channels, self.ndim, self.weight = channels, ndim, weight
        self.analytic = Analytic(symmetric)
        self.trunk = nn.Sequential(
            conv(2 * channels, hidden, 3, padding=1, padding_mode="replicate"),
            nn.GELU(),
            conv(hidden, hidden, 3, padding=1, padding_mode="replicate"),
            nn.GELU(),
        )
        self.last = conv(hidden, channels * (1 + ndim) + int(weight), 1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def linearise(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> Linearisation:
        """Predict from features (N, C, *S); `weight` (N, 1, *S) multiplies the confidence.

        Raises
        ------
        ShapeError
            If the features do not have the channels that the network was made for.
        """
        _check_channels(fixed, self.channels)
        n, c, *shape = fixed.shape
        analytic = self.analytic.linearise(fixed, warped, weight)
        out = self.last(self.trunk(torch.cat([fixed, warped], dim=1)))
        residual = analytic.residual + out[:, :c]
        jacobian = analytic.jacobian + out[:, c : c * (1 + self.ndim)].reshape(n, c, self.ndim, *shape)
        if self.weight:
            # Bounded, so that no voxel can dominate the whole system.
            confidence = (4 * torch.tanh(out[:, -1:] / 4)).exp()
            weight = confidence if weight is None else weight * confidence
        return Linearisation(residual, jacobian, weight)

    def normal_equations(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> NormalEquations:
        """See :class:`learngn.linearise.Lineariser`."""
        return self.linearise(fixed, warped, weight).normal_equations()


class _Branch(nn.Module):
    """Two convolutions without a non-linearity between them."""

    def __init__(self, first: nn.Conv2d | nn.Conv3d, second: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return out


class PublishedLinearisation(nn.Module):
    """The paper's learned linearisation: one branch for J and one for f, of two linear convolutions of stride 2 each.

    The kernels have side 3. The features are four times finer than the displacement (`refinement`), which the strides
    compensate. Both branches take the channels of both images; f has C channels, J has C D. Before training, the first
    convolution averages and the second subtracts (f) or differentiates (J): the stencils of the analytic linearisation
    of averages over 4^D voxels.

    Parameters
    ----------
    channels : int
        Number of channels of the features, C.
    ndim : int
        Number of dimensions, 2 or 3.
    hidden : int
        Number of channels between the two convolutions, for each image and channel.

    References
    ----------
    M. P. Heinrich, "Learning Registration Models with Differentiable Gauss-Newton Optimisation", MIDL 2022.
    """

    refinement = 4

    def __init__(self, channels: int, ndim: int, *, hidden: int = 4) -> None:
        super().__init__()
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.channels, self.ndim = channels, ndim
        width = 2 * channels * hidden

        self.residual, self.jacobian = (
            _Branch(conv(2 * channels, width, 3, 2, 1), conv(width, out, 3, 2, 1))
            for out in (channels, channels * ndim)
        )
        self._start_analytic(hidden)

    @torch.no_grad()
    def _start_analytic(self, hidden: int) -> None:
        """Set the weights to averages, then differences, plus small random numbers that break the symmetry."""
        for parameter in self.parameters():
            parameter.mul_(0.01 if parameter.ndim > 1 else 0)
        averaging = 1 / 3**self.ndim
        stencils = [self._stencil({0: -0.5, 2: 0.5}, axis) for axis in range(self.ndim)]
        for image, sign in ((0, -1.0), (1, 1.0)):  # the warped features come second
            for c in range(self.channels):
                source = image * self.channels + c
                for branch in (self.residual, self.jacobian):
                    branch.first.weight[source * hidden, source] += averaging
                self.residual.second.weight[c, source * hidden] += sign * self._stencil({1: 1.0}, 0)
                for axis, stencil in enumerate(stencils):
                    # Mean of both images' differences; the neighbours are half a displacement voxel away.
                    self.jacobian.second.weight[c * self.ndim + axis, source * hidden] += stencil

    def _stencil(self, taps: dict[int, float], axis: int) -> Tensor:
        """Return a kernel of side 3 that is zero except along one axis through its centre."""
        kernel = torch.zeros([3] * self.ndim)
        for place, value in taps.items():
            kernel[tuple(place if a == axis else 1 for a in range(self.ndim))] = value
        return kernel

    def linearise(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> Linearisation:
        """Predict from features (N, C, *S) at four times the resolution of the displacement.

        Raises
        ------
        ShapeError
            If the features do not have the channels that the network was made for.
        """
        _check_channels(fixed, self.channels)
        both = torch.cat([fixed, warped], dim=1)
        residual, jacobian = self.residual(both), self.jacobian(both)
        n, c, *shape = residual.shape
        return Linearisation(residual, jacobian.reshape(n, c, self.ndim, *shape), weight)

    def normal_equations(self, fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> NormalEquations:
        """See :class:`learngn.linearise.Lineariser`."""
        return self.linearise(fixed, warped, weight).normal_equations()


def _check_channels(features: Tensor, channels: int) -> None:
    if features.shape[1] != channels:
        raise ShapeError(
            "features", f"{features.shape[1]} channels", f"the {channels} of the trained predictor", "use its features"
        )
