"""Modifiers that a recipe is made of, where llm-compressor has them."""
