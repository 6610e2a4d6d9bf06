"""Applications of many registrations: multi-atlas labelling, and the template of a group."""

from learngn.atlas.fusion import VOTING, joint, majority
from learngn.atlas.propagation import PROPAGATION_NAME, propagate
from learngn.atlas.template import TEMPLATE_NAME, Round, average_in_mean_shape, build_template

__all__ = [
    "PROPAGATION_NAME",
    "TEMPLATE_NAME",
    "VOTING",
    "Round",
    "average_in_mean_shape",
    "build_template",
    "joint",
    "majority",
    "propagate",
]
