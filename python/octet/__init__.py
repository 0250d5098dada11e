"""Octet: language models on CPUs with an 8-bit (FP8) key-value cache; vLLM's names, so that only the import changes.

    from octet import LLM, SamplingParams

    llm = LLM(model="meta-llama/Llama-2-7b-chat-hf", kv_cache_dtype="fp8", calculate_kv_scales=True)
    print(llm.generate("London is the capital of", SamplingParams(temperature=0))[0].outputs[0].text)

Everything here is a thin layer over the C++ library; what a function means in full is said in include/octet/*.h and
in docs/. Arguments that Octet does not have are refused by name, never ignored.
"""

from octet import fp8
from octet._octet import KV_CACHE_DTYPES, __version__
from octet.async_llm import AsyncLLM
from octet.calibration import CalibrationResult, oneshot
from octet.checkpoint import inspect
from octet.errors import (
    InternalError,
    InvalidArgumentError,
    InvalidFileError,
    IOFailedError,
    NotFoundError,
    OctetError,
    OutOfMemoryError,
    OverloadedError,
    UnavailableError,
    UnsupportedError,
)
from octet.llm import LLM
from octet.outputs import CompletionOutput, Logprob, RequestMetrics, RequestOutput
from octet.quantization import QuantizationArgs, QuantizationScheme
from octet.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
from octet.tokenizer import Tokenizer

__all__ = [
    "KV_CACHE_DTYPES",
    "LLM",
    "AsyncLLM",
    "CalibrationResult",
    "CompletionOutput",
    "IOFailedError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidFileError",
    "Logprob",
    "NotFoundError",
    "OctetError",
    "OutOfMemoryError",
    "OverloadedError",
    "QuantizationArgs",
    "QuantizationScheme",
    "RequestMetrics",
    "RequestOutput",
    "RequestOutputKind",
    "SamplingParams",
    "StructuredOutputsParams",
    "Tokenizer",
    "UnavailableError",
    "UnsupportedError",
    "__version__",
    "fp8",
    "inspect",
    "oneshot",
]
