"""Explicit vectors of eight values, for loops over rows too short to slice arrays efficiently.

A `Vector` is kept in registers. Arrays are indexed flat, whatever their shape; they must be contiguous and float32.
Arithmetic takes vectors and scalars, and rounds each operation as IEEE requires, on every processor; only `fma` rounds
a product and a sum together.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from learngn.kernels._cpu_threads import inlined

LANES = 8
_primitive: Any = intrinsic  # Numba has no types for its decorator
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_LLVM = ir.VectorType(_FLOAT, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Vector")


VECTOR = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _LLVM)


def _splat(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_LLVM, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))


_INTEGERS = (types.int64, types.int64)
_USUAL = (_INTEGERS, (types.float32, types.float32))


def _arithmetic(symbol: Callable[..., Any], instruction: str) -> None:
    @infer_global(symbol)
    class _Typing(AbstractTemplate):
        # Tried first, as Numba tries dozens of other rules for every operation. Those on two integers and on two
        # floats are here for that reason only.
        metadata = {"target": "cpu"}  # noqa: RUF012

        def generic(self, args: Any, kws: Any) -> Any:
            if VECTOR in args and all(kind in (VECTOR, types.float32) for kind in args):
                return signature(VECTOR, *args)
            if args in _USUAL and not (args == _INTEGERS and symbol is operator.truediv):
                return signature(args[0], *args)
            return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        both = [a if kind is VECTOR else _splat(builder, a) for a, kind in zip(args, sig.args, strict=True)]
        return getattr(builder, instruction)(*both)

    for kinds in ((VECTOR, VECTOR), (VECTOR, types.float32), (types.float32, VECTOR)):
        lower_builtin(symbol, *kinds)(lower)


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_symbol, _instruction)


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), _LLVM.as_pointer())


def _first_lanes(builder: Any, count: Any) -> Any:
    """Return a mask of the first `count` lanes."""
    lanes = ir.Constant(ir.VectorType(ir.IntType(64), LANES), list(range(LANES)))
    limit = builder.insert_element(ir.Constant(lanes.type, ir.Undefined), count, ir.Constant(_INT, 0))
    limit = builder.shuffle_vector(limit, limit, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))
    return builder.icmp_signed("<", lanes, limit)


def _called(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@_primitive
def load(typing: Any, array: Any, index: Any) -> Any:
    """Load eight values from `index` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, sig.args[0], *args), align=4)

    return VECTOR(array, types.intp), generate


@_primitive
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Store eight values from `index` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, sig.args[0], *args[:2]), align=4)

    return types.void(array, types.intp, VECTOR), generate


@_primitive
def load_first(typing: Any, array: Any, index: Any, count: Any) -> Any:
    """Load `count` values, with zeros in the other lanes, for which nothing is read."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, mask = _address(context, builder, sig.args[0], *args[:2]), _first_lanes(builder, args[2])
        zeros = ir.Constant(_LLVM, [0.0] * LANES)
        name = f"llvm.masked.load.v{LANES}f32.p0v{LANES}f32"
        return _called(builder, name, _LLVM, address, ir.Constant(_INT, 4), mask, zeros)

    return VECTOR(array, types.intp, types.intp), generate


@_primitive
def store_first(typing: Any, array: Any, index: Any, count: Any, vector: Any) -> Any:
    """Store the first `count` lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, mask = _address(context, builder, sig.args[0], *args[:2]), _first_lanes(builder, args[2])
        name = f"llvm.masked.store.v{LANES}f32.p0v{LANES}f32"
        _called(builder, name, ir.VoidType(), args[3], address, ir.Constant(_INT, 4), mask)

    return types.void(array, types.intp, types.intp, VECTOR), generate


@_primitive
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for a value that is read later to be brought to the second-level cache; nothing happens beyond the array."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        address = builder.bitcast(_address(context, builder, sig.args[0], *args), byte)
        options = [ir.Constant(_INT, option) for option in (0, 2, 1)]  # to be read, second level, data
        _called(builder, "llvm.prefetch.p0i8", ir.VoidType(), address, *options)

    return types.void(array, types.intp), generate


@_primitive
def splat(typing: Any, value: Any) -> Any:
    """Return a vector with one value in every lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splat(builder, args[0])

    return VECTOR(types.float32), generate


@_primitive
def lane(typing: Any, vector: Any, index: Any) -> Any:
    """Return the value of one lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.extract_element(args[0], builder.trunc(args[1], _INT))

    return types.float32(VECTOR, types.intp), generate


@_primitive
def with_lane(typing: Any, vector: Any, index: Any, value: Any) -> Any:
    """Return the vector with another value in one lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.insert_element(args[0], args[2], builder.trunc(args[1], _INT))

    return VECTOR(VECTOR, types.intp, types.float32), generate


def _fused(kinds: tuple[Any, ...], negative: bool) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if sig.return_type is VECTOR:
            args = [a if kind is VECTOR else _splat(builder, a) for a, kind in zip(args, sig.args, strict=True)]
        factor = builder.fneg(args[0]) if negative else args[0]
        name = f"llvm.fma.v{LANES}f32" if sig.return_type is VECTOR else "llvm.fma.f32"
        return _called(builder, name, factor.type, factor, *args[1:])

    return (VECTOR if VECTOR in kinds else types.float32)(*kinds), generate


@_primitive
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute ``a b + c``, rounded once, for vectors and scalars."""
    return _fused((a, b, c), False)


@_primitive
def fnma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute ``c - a b``, rounded once, for vectors and scalars."""
    return _fused((a, b, c), True)


@_primitive
def root(typing: Any, vector: Any) -> Any:
    """Compute square roots."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _called(builder, f"llvm.sqrt.v{LANES}f32", _LLVM, args[0])

    return VECTOR(VECTOR), generate


@_primitive
def larger(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger value of each lane; b if one of them is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return VECTOR(VECTOR, VECTOR), generate


@_primitive
def smaller(typing: Any, a: Any, b: Any) -> Any:
    """Return the smaller value of each lane; b if one of them is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return VECTOR(VECTOR, VECTOR), generate


@_primitive
def power_of_two(typing: Any, rounded: Any) -> Any:
    """Return 2^n for ``n + 1.5 2^23``, -126 ≤ n ≤ 127: the sum has n in its low bits."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = ir.VectorType(_INT, LANES)
        exponent = builder.shl(builder.bitcast(args[0], integers), ir.Constant(integers, [23] * LANES))
        return builder.bitcast(builder.add(exponent, ir.Constant(integers, [127 << 23] * LANES)), _LLVM)

    return VECTOR(VECTOR), generate


@_primitive
def store_fours(typing: Any, array: Any, index: Any, step: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Store one lane of four vectors side by side, and those of the next lane `step` values further on."""

    def mixed(builder: Any, x: Any, y: Any, order: list[int]) -> Any:
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT, len(order)), order))

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, value=args[0]).data
        at = args[1]
        for half in (0, LANES // 2):
            zipped = [half + lane // 2 + LANES * (lane % 2) for lane in range(LANES)]
            low, high = mixed(builder, args[3], args[4], zipped), mixed(builder, args[5], args[6], zipped)
            for two in range(0, LANES, 2):
                four = mixed(builder, low, high, [two, two + 1, two + LANES, two + LANES + 1])
                builder.store(four, builder.bitcast(builder.gep(data, [at]), four.type.as_pointer()), align=4)
                at = builder.add(at, args[2])

    return types.void(array, types.intp, types.intp, VECTOR, VECTOR, VECTOR, VECTOR), generate


def _shuffle(order: list[int], two: bool = False) -> Any:
    """Return an intrinsic that permutes the lanes of one vector, or of two vectors one after the other."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        other = args[1] if two else args[0]
        return builder.shuffle_vector(args[0], other, ir.Constant(ir.VectorType(_INT, LANES), order))

    if two:

        @_primitive
        def shuffled(typing: Any, a: Any, b: Any) -> Any:
            return VECTOR(VECTOR, VECTOR), generate
    else:

        @_primitive
        def shuffled(typing: Any, a: Any) -> Any:
            return VECTOR(VECTOR), generate

    return shuffled


later = _shuffle([0, *range(LANES - 1)])  # shifts every lane by one; the first lane stays
evens = _shuffle(list(range(0, 2 * LANES, 2)), two=True)
odds = _shuffle(list(range(1, 2 * LANES, 2)), two=True)
zip_low = _shuffle([lane // 2 + LANES * (lane % 2) for lane in range(LANES)], two=True)
zip_high = _shuffle([(lane + LANES) // 2 + LANES * (lane % 2) for lane in range(LANES)], two=True)


@inlined
def total(v):  # type: ignore[no-untyped-def]
    """Compute the sum of the lanes in double precision."""
    s = np.float64(0)
    for i in range(LANES):
        s += lane(v, i)
    return s


@inlined
def load_upto(array, index, count):  # type: ignore[no-untyped-def]
    """Load eight values, or `count` values and zeros; `count` is None for at least eight."""
    if count is None:
        return load(array, index)
    return load(array, index) if count >= LANES else load_first(array, index, count)


@inlined
def store_upto(array, index, count, vector):  # type: ignore[no-untyped-def]
    """Store eight values, or the first `count`; None for all."""
    if count is None or count >= LANES:
        store(array, index, vector)
    else:
        store_first(array, index, count, vector)
