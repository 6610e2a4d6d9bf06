"""Arrays of NumPy and PyTorch: operations that the array API standard lacks, or that need to know the library.

The numerical code is written once against the Python array API standard: ``xp = namespace(x)``, then ``xp.sum(x)``,
``xp.stack(...)``. It serves NumPy's arrays and PyTorch's tensors, and is differentiated where these are. PyTorch is
never imported here: whoever has a tensor has imported it.

References
----------
Python array API standard, https://data-apis.org/array-api/latest/, by way of the package array-api-compat.
"""

from learngn.arrays.array import (
    Array,
    as_numpy,
    channels_last,
    detached,
    device_of,
    differentiable,
    empty_channels_last,
    in_order,
    is_tensor,
    kind_of,
    like,
    namespace,
    require_torch,
    shared,
    undifferentiated,
    without_gradient,
)
from learngn.arrays.devices import check_device_name, chosen_device, cuda_devices
from learngn.arrays.operations import (
    add_at,
    clamped,
    finite,
    full_like_shape,
    largest_of_neighbours,
    lattice,
    narrow,
    per_sample,
    quantile,
    single,
    zeros,
)
from learngn.arrays.parts import by_parts

__all__ = [
    "Array",
    "add_at",
    "as_numpy",
    "by_parts",
    "channels_last",
    "check_device_name",
    "chosen_device",
    "clamped",
    "cuda_devices",
    "detached",
    "device_of",
    "differentiable",
    "empty_channels_last",
    "finite",
    "full_like_shape",
    "in_order",
    "is_tensor",
    "kind_of",
    "largest_of_neighbours",
    "lattice",
    "like",
    "namespace",
    "narrow",
    "per_sample",
    "quantile",
    "require_torch",
    "shared",
    "single",
    "undifferentiated",
    "without_gradient",
    "zeros",
]
