"""octet.modifiers.quantization: what llm-compressor's users import from llmcompressor.modifiers.quantization."""

from octet.modifiers.quantization.modifier import QuantizationModifier
from octet.quantization import QuantizationArgs, QuantizationScheme

__all__ = ["QuantizationArgs", "QuantizationModifier", "QuantizationScheme"]
