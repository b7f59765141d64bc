"""Vectors of float32 for compiled kernels: one register of the processor each, whatever LLVM would make of a loop.

`load` reads LANES neighbours of a flat float32 array, `store` writes them, `+`, `-` and `*` work lane by lane. Loops of
them need no test whether arrays overlap and leave no single pixels over, as loops that LLVM vectorises do: a row takes
whole vectors, and what lies behind its end is padding.

Importing this module imports Numba.
"""

import functools
import operator

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic, lower_builtin, type_callable


def _count(features):
    """How many float32 a vector register holds, by the features of a processor as LLVM names them."""
    features = features.split(",")
    if "+avx512f" in features:
        return 16
    return 8 if "+avx" in features else 4


def _features():
    """Features of the processor that Numba compiles for."""
    if config.CPU_FEATURES is not None:
        return config.CPU_FEATURES
    return "" if config.CPU_NAME else llvmlite.binding.get_host_cpu_features().flatten()


LANES = _count(_features())
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INDICES = ir.VectorType(ir.IntType(32), LANES)
_EXACT = ("contract", "nsz")  # zeros may lose their sign; infinities and NaN keep their meaning


class _Lanes(types.Type):
    def __init__(self):
        super().__init__(name=f"float32x{LANES}")


lanes = _Lanes()


@register_default(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, of_type):
        super().__init__(manager, of_type, _VECTOR)


def _operator(function, name):
    @type_callable(function)
    def result(context):
        return lambda a, b: lanes if a == b == lanes else None

    @lower_builtin(function, _Lanes, _Lanes)
    def lower(context, builder, signature, args):
        return getattr(builder, name)(*args, flags=_EXACT)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")


def _constant(value):
    return ir.Constant(_VECTOR, [value] * LANES)


def _shuffled(builder, a, b, order):
    """The lanes of a, then those of b, taken in that order."""
    return builder.shuffle_vector(a, b, ir.Constant(_INDICES, list(order)))


def _pointer(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@intrinsic
def load(typing, array, index):
    """The values array[index], array[index + 1] and so on of a flat float32 array; no alignment is asked for."""

    def generate(context, builder, signature, args):
        return builder.load(_pointer(context, builder, array, *args), align=4)

    return lanes(array, types.uintp), generate


@intrinsic
def store(typing, array, index, value):
    """Writes the lanes of `value` to array[index], array[index + 1] and so on."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _pointer(context, builder, array, *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.uintp, lanes), generate


@intrinsic
def splat(typing, value):
    """A float32 in every lane."""

    def generate(context, builder, signature, args):
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], ir.IntType(32)(0))
        return _shuffled(builder, first, first, [0] * LANES)

    return lanes(types.float32), generate


@intrinsic
def behind(typing, before, value):
    """`value` one lane later: the last lane of `before` comes first, the last of `value` drops out."""

    def generate(context, builder, signature, args):
        return _shuffled(builder, *args, range(LANES - 1, 2 * LANES - 1))

    return lanes(lanes, lanes), generate


def _chosen(comparison):
    @intrinsic
    def choose(typing, a, b):
        def generate(context, builder, signature, args):
            return builder.select(builder.fcmp_ordered(comparison, *args), *args)

        return lanes(lanes, lanes), generate

    return choose


least, most = _chosen("<"), _chosen(">")  # b where one of the two is NaN


@intrinsic
def if_negative(typing, value, then, otherwise):
    """`then` in the lanes where `value` is below zero, else `otherwise`."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", args[0], _constant(0.0)), *args[1:])

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def count_within(typing, a, b, bound):
    """How many lanes there are before the first one where a or b is not in [-bound, bound], as NaN is not."""

    def generate(context, builder, signature, args):
        a, b, bound = args
        outside = [builder.fcmp_unordered(">", value, bound) for value in (a, builder.fneg(a), b, builder.fneg(b))]
        bits = builder.bitcast(functools.reduce(builder.or_, outside), ir.IntType(LANES))
        # A bit behind the last lane, for none outside.
        bits = builder.or_(builder.zext(bits, ir.IntType(32)), ir.IntType(32)(2**LANES))
        return builder.zext(builder.cttz(bits, ir.IntType(1)(1)), ir.IntType(64))

    return types.int64(lanes, lanes, lanes), generate


HAS_ESTIMATES = "+avx512f" in _features().split(",")  # of 1 / x and 1 / sqrt(x), right to 14 bits


def _estimated(name):
    """An intrinsic of one vector: that estimate of AVX-512, for normal finite values."""

    @intrinsic
    def estimate(typing, value):
        def generate(context, builder, signature, args):
            mask = ir.IntType(LANES)
            function = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, mask])
            function = cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.avx512.{name}.ps.512")
            return builder.call(function, [*args, ir.Constant(_VECTOR, ir.Undefined), mask(2**LANES - 1)])

        return lanes(lanes), generate

    return estimate


inverse_estimate = _estimated("rcp14")
inverse_root_estimate = _estimated("rsqrt14")


@intrinsic
def inverse(typing, value):
    """1 / value, exactly rounded."""

    def generate(context, builder, signature, args):
        return builder.fdiv(_constant(1.0), *args)

    return lanes(lanes), generate


@intrinsic
def root(typing, value):
    """The square root, exactly rounded."""

    def generate(context, builder, signature, args):
        function = ir.FunctionType(_VECTOR, [_VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.sqrt.v{LANES}f32"), args)

    return lanes(lanes), generate


@intrinsic
def total(typing, value):
    """The float32 sum of all lanes."""

    def generate(context, builder, signature, args):
        result, apart = args[0], LANES // 2
        while apart:
            moved = _shuffled(builder, result, result, [(lane + apart) % LANES for lane in range(LANES)])
            result, apart = builder.fadd(result, moved), apart // 2
        return builder.extract_element(result, ir.IntType(32)(0))

    return types.float32(lanes), generate
