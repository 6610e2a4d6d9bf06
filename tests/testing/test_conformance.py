"""The conformance checks find what is wrong, and say what it is."""

import doctest
import importlib
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

import learngn.testing
from learngn.arrays import channels_last, detached, like
from learngn.features import FeatureImage, Intensity, Traits
from learngn.geometry import sampling
from learngn.geometry.image import Image
from learngn.kernels import ReferenceKernels, Taps
from learngn.optimise import Additive, Compositional, Symmetric
from learngn.regularise import Curvature, Diffusion, Stiffness
from learngn.testing import FEATURE_RULES, KERNEL_RULES, check_feature, check_kernels, check_regulariser, check_update

RANDOM = np.random.default_rng(0)


@dataclass(frozen=True)
class Spoilt:
    """Intensity, its result or its input changed."""

    change: object = None
    before: object = None
    name: str = "spoilt"
    traits: ClassVar[Traits] = Traits()

    def __call__(self, fixed, moving, spacing):
        if self.before:
            fixed, moving = self.before(fixed), self.before(moving)
        sides = Intensity()(fixed, moving, spacing)
        return tuple(self.change(side) for side in sides) if self.change else sides


def with_data(change):
    return lambda side: FeatureImage(change(side.data), side.grid, side.weight)


def by_index(data):
    """Add the index along the first axis: an answer that depends on how the array is stored."""
    ramp = like(np.linspace(0, 1, data.shape[2]).reshape(-1, *[1] * (data.ndim - 3)), data)
    return channels_last(data + ramp)


def shifted_if_integer(image):
    return Image(np.roll(image.data, 1, 2), image.grid) if image.data.dtype == np.int16 else image


def written_to(image):
    image.data[:] += 1
    return image


@pytest.mark.parametrize(
    ("rule", "feature", "told"),
    [
        ("grid_and_layout", Spoilt(with_data(lambda data: data.astype(float))), "got float64, expected float32"),
        ("grid_and_layout", Spoilt(with_data(lambda data: data * np.float32(np.nan))), "NaN or infinite"),
        ("grid_and_layout", Spoilt(with_data(lambda data: 0 * data)), "the channels are all one value"),
        ("grid_and_layout", Spoilt(lambda side: replace(side, grid=side.grid.coarsened(4.0))), "got the grid"),
        ("grid_and_layout", Spoilt(lambda side: replace(side, weight=2 + 0 * side.data)), "weights must lie in 0..1"),
        ("orientation", Spoilt(with_data(by_index)), "its axes in the order"),
        (
            "awkward_shapes",
            Spoilt(with_data(lambda data: data * np.float32(np.nan if 1 in data.shape[2:] else 1))),
            "NaN or infinite",
        ),
        ("constant_image", Spoilt(with_data(by_index)), "got a standard deviation of"),
        ("inputs_untouched", Spoilt(before=written_to), "the image after feature 'spoilt' was computed"),
        (
            "determinism",
            Spoilt(with_data(lambda data: data + RANDOM.random(dtype=np.float32))),
            "of one image as the fixed and the",
        ),
        ("types", Spoilt(before=shifted_if_integer), "of the same values as"),
    ],
)
def test_features(rule, feature, told):
    with pytest.raises(AssertionError, match=told):
        FEATURE_RULES[rule](feature, None, True)
    with pytest.raises(AssertionError):
        check_feature(feature)


def test_units_of_a_feature():
    class Raw(Spoilt):
        def __call__(self, fixed, moving, spacing):
            sides = super().__call__(fixed, moving, spacing)
            return tuple(
                with_data(lambda d, i=i: d * abs(i.data).max())(s) for s, i in zip(sides, (fixed, moving), strict=True)
            )

    with pytest.raises(AssertionError, match="its intensities times 1e-06"):
        check_feature(Raw())


class Wrong(Stiffness):
    """Diffusion with a fault."""

    fault = ""

    def __call__(self, u):
        found = super().__call__(u)
        if self.fault == "skew":
            return found + 0.1 * np.roll(found, 1, axis=2)
        return found + 0.1 * u if self.fault == "translation" else found

    def diagonal(self, shape):
        return (2 if self.fault == "diagonal" else 1) * super().diagonal(shape)

    def scaled(self, lam):
        return super().scaled(lam**2 if self.fault == "lambda" else lam)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("skew", "R is not symmetric"),
        ("negative", "eigenvalue .*, expected none below zero"),
        ("translation", "a translation by one voxel has the force"),
        ("diagonal", "diagonal of the regulariser"),
        ("lambda", "λ R on"),
        ("voxels", "the same field in mm costs"),
        ("nothing", "every displacement costs nothing"),
    ],
)
def test_regularisers(fault, told):
    class Faulty(Wrong):
        pass

    Faulty.fault = fault

    class Regulariser:
        def stiffness(self, grid, like):
            weights = Diffusion().stiffness(grid, like).weights
            if fault == "voxels":
                weights = np.ones_like(weights)
            return Faulty(weights * {"negative": -1, "nothing": 0}.get(fault, 1))

    with pytest.raises(AssertionError, match=told):
        check_regulariser(lambda grid: Regulariser())


def test_a_regulariser_whose_parameter_is_of_one_grid():
    """In voxels in place of mm: right on one grid, wrong on the next."""
    with pytest.raises(AssertionError, match="the same field in mm costs"):
        check_regulariser(lambda grid: _InVoxels())


class _InVoxels:
    def stiffness(self, grid, like):
        return Curvature(1.5 * float(grid.spacing.max())).stiffness(grid, like)


class Twice(Additive):
    def __call__(self, u, step):
        return u + 2 * step


class Drift(Additive):
    def __call__(self, u, step):
        return u + step + 0.1


class NoPullBack(Compositional):
    def pull_back(self, u, gradient):
        return gradient


class Mixing(Additive):
    def __call__(self, u, step):
        return u + step.mean(0, keepdims=True)


class OtherShares(Compositional):
    @property
    def shares(self):
        return (0.5,)


class Detached(Compositional):
    def __call__(self, u, step):
        return sampling.compose(u, detached(step)) + step


class Single(Additive):
    def __call__(self, u, step):
        return (u + step).astype(np.float32)


@pytest.mark.parametrize(
    ("update", "told"),
    [
        (Twice(), "of a small step from rest"),
        (Drift(), "of a step of zero"),
        (NoPullBack(), "pull_back gives the derivative"),
        (Symmetric(NoPullBack()), "pull_back gives the derivative"),
        (Mixing(), "sample 0 of a batch"),
        (OtherShares(), "composed by its shares"),
        (Single(), "expected .* and float64"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_updates(update, told):
    with pytest.raises(AssertionError, match=told):
        check_update(update)


def test_an_update_that_cannot_be_trained_through():
    class Cut(Additive):
        def __call__(self, u, step):
            return u + detached(step)

    with pytest.raises(AssertionError, match="derivative differs from finite differences"):
        check_update(Cut())


# Operation of the interface, rule that must find it out.
OPERATIONS = [
    ("warp", "warp"),
    ("warp_nearest", "warp_nearest"),
    ("warp_labels", "warp_labels"),
    ("resample", "resample"),
    ("normal_equations", "normal_equations"),
    ("apply_operator", "operator"),
    ("apply_blocks", "operator"),
    ("elastic", "operator"),
    ("smooth", "smoothing"),
    ("relax", "smoothing"),
    ("determinant", "derivatives"),
    ("pull_back", "derivatives"),
    ("dot", "sums"),
    ("lengths", "sums"),
    ("mean_diagonal", "sums"),
    ("combined", "fields"),
    ("capped", "fields"),
    ("match_cost", "match_cost"),
    ("self_similarity", "self_similarity"),
    ("dots", "solver"),
    ("best_match", "best_match"),
]


@pytest.mark.parametrize(("operation", "rule"), OPERATIONS)
def test_kernels(operation, rule):
    """An operation that is off by a thousandth."""

    def spoilt(self, *given):
        result = getattr(ReferenceKernels, operation)(self, *given)
        if isinstance(result, tuple):
            return (*result[:-1], result[-1] * 1.001)
        return result * {"warp_nearest": 2, "warp_labels": 2, "best_match": 0}.get(operation, 1.001)

    kernels = type("Spoilt", (ReferenceKernels,), {operation: spoilt, "name": "spoilt"})()
    with pytest.raises(AssertionError, match="kernels 'spoilt'"):
        KERNEL_RULES[rule](learngn.testing.kernels.Case(kernels, (6, 7, 5)))
    with pytest.raises(AssertionError, match="kernels 'spoilt'"):
        check_kernels(kernels, shapes=[(7, 9)])


SOLVER = ["bind", "between", "turn", "advance"]


@pytest.mark.parametrize("operation", SOLVER)
def test_solver(operation):
    """Operators and transfers that are off, and operations that write to their arguments and are."""

    class Spoilt(ReferenceKernels):
        name = "spoilt"

        def bind(self, blocks, stiffness, shift, faces, order):
            return super().bind(blocks, (1.01 if operation == "bind" else 1) * stiffness, shift, faces, order)

        def between(self, step):
            taps = tuple(Taps(t.start, 1.01 * t.weights, t.length) for t in step.restrict)
            return super().between(replace(step, restrict=taps) if operation == "between" else step)

        def turn(self, z, beta, p):
            super().turn(z, beta * (1.01 if operation == "turn" else 1), p)

        def advance(self, alpha, p, q, x, r):
            return super().advance(alpha * (1.01 if operation == "advance" else 1), p, q, x, r)

    with pytest.raises(AssertionError, match="kernels 'spoilt'"):
        KERNEL_RULES["solver"](learngn.testing.kernels.Case(Spoilt(), (6, 6, 6)))


def test_every_operation_is_checked():
    optional = {"guard"}
    operations = {name for name, value in vars(ReferenceKernels).items() if callable(value) and name[0] != "_"}
    assert operations - optional == {*SOLVER, *(operation for operation, _ in OPERATIONS)}


def test_values_from_outside_are_found():
    class Wrapping(ReferenceKernels):
        name = "wrapping"

        def warp_nearest(self, image, field, matrix, shape, outside):
            return super().warp_nearest(image, field, matrix, shape, 1)

    with pytest.raises(AssertionError, match="got values from inside the image"):
        check_kernels(Wrapping(), operations=["warp_far_outside"])


@pytest.mark.parametrize("module", ["features", "regularisers", "kernels", "updates"])
def test_examples(module):
    found = doctest.testmod(importlib.import_module(f"learngn.testing.{module}"))
    assert (found.failed, found.attempted) == (0, 2)
