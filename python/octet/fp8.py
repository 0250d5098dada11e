"""FP8 numbers as the KV cache stores them: quantize() and dequantize() over numpy arrays, or anything with DLPack.

code = nearest(value / scale), ties to even, saturating at the largest finite value, 448 (fp8_e4m3) or 57344
(fp8_e5m2); NaN stays NaN. value = number(code) * scale. Source: OCP OFP8 1.0; include/octet/fp8.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octet import _octet
from octet.errors import InvalidArgumentError

if TYPE_CHECKING:
    import numpy as np

_ML_DTYPES = {"fp8": "float8_e4m3fn", "fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}


def ml_dtype(name: str, bits: str) -> np.dtype:
    """ml_dtypes' type of that name where the package is installed; else numpy's type for the bits alone."""
    import numpy

    try:
        import ml_dtypes
    except ImportError:
        return numpy.dtype(bits)
    return numpy.dtype(getattr(ml_dtypes, name))


def float8_dtype(dtype: str) -> np.dtype:
    """ml_dtypes' type of that format where the package is installed; else numpy's uint8, the codes alone."""
    return ml_dtype(_ML_DTYPES.get(dtype, "float8_e4m3fn"), "uint8")


def quantize(values: Any, scale: float = 1.0, dtype: str = "fp8_e4m3") -> np.ndarray:
    """The codes of values, in an array of the same shape and of float8_dtype(dtype).

    values: an array of floats, converted to float32 where it is none. Raises InvalidArgumentError for another dtype
    than fp8_e4m3, fp8_e5m2 or fp8, or a scale that is not positive and finite. Needs numpy.
    """
    import numpy

    floats = numpy.ascontiguousarray(values, dtype=numpy.float32)
    codes = numpy.empty(floats.shape, numpy.uint8)
    _octet.quantize_fp8(floats, scale, dtype, codes)
    return codes.view(float8_dtype(dtype))


def dequantize(codes: Any, scale: float = 1.0, dtype: str | None = None) -> np.ndarray:
    """The float32 values of codes, in an array of the same shape.

    codes: an array of uint8, or of ml_dtypes' float8_e4m3fn or float8_e5m2, whose format is then known; dtype: the
    format of uint8 codes, fp8_e4m3 where it is None. Raises InvalidArgumentError as quantize. Needs numpy.
    """
    import numpy

    array = numpy.ascontiguousarray(codes)
    known = {"float8_e4m3fn": "fp8_e4m3", "float8_e5m2": "fp8_e5m2"}.get(array.dtype.name)
    if array.dtype.name != "uint8" and known is None:
        raise InvalidArgumentError(f"expected uint8, float8_e4m3fn or float8_e5m2, found {array.dtype.name}", "codes")
    values = numpy.empty(array.shape, numpy.float32)
    _octet.dequantize_fp8(array.view(numpy.uint8), scale, dtype or known or "fp8_e4m3", values)
    return values
