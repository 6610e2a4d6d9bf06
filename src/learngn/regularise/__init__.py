"""Regularisers: penalties of a displacement, as quadratic forms ½ λ <u, R u>."""

from learngn.regularise.adaptive import Adaptive
from learngn.regularise.curvature import Curvature
from learngn.regularise.diffusion import Diffusion
from learngn.regularise.stiffness import Regulariser, Stiffness, apply_regulariser

__all__ = ["Adaptive", "Curvature", "Diffusion", "Regulariser", "Stiffness", "apply_regulariser"]
