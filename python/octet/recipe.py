"""A recipe: a QuantizationModifier, a list with one, or YAML as llm-compressor has it, in a string or a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from octet.errors import InvalidArgumentError, InvalidFileError, NotFoundError
from octet.modifiers.quantization import QuantizationModifier


def read_recipe(recipe: Any) -> QuantizationModifier:
    """The one QuantizationModifier of a recipe.

    Raises InvalidArgumentError for none or several, NotFoundError and InvalidFileError naming the file, TypeError or
    UnsupportedError for what Octet does not have. YAML needs the package pyyaml.
    """
    modifiers = list(_modifiers(recipe))
    if len(modifiers) != 1:
        raise InvalidArgumentError(f"expected one QuantizationModifier, found {len(modifiers)}", "recipe")
    return modifiers[0]


def _modifiers(recipe: Any) -> Iterator[QuantizationModifier]:
    if isinstance(recipe, QuantizationModifier):
        yield recipe
    elif isinstance(recipe, (list, tuple)):
        for part in recipe:
            yield from _modifiers(part)
    elif isinstance(recipe, (str, os.PathLike)):
        yield from _from_yaml(recipe)
    elif isinstance(recipe, dict):
        yield from _from_tree(recipe, "recipe")
    else:
        raise InvalidArgumentError(f"expected a QuantizationModifier or YAML, found {recipe!r}", "recipe")


def _from_yaml(recipe: str | os.PathLike[str]) -> Iterator[QuantizationModifier]:
    try:
        import yaml
    except ImportError:
        raise ImportError("recipes in YAML need the package pyyaml; a QuantizationModifier does not") from None
    text, where = os.fspath(recipe), "recipe"
    if "\n" not in text and text.endswith((".yaml", ".yml")):
        where = text
        try:
            with open(text, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            raise NotFoundError("no such recipe", where) from None
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidFileError(f"not YAML: {error}", where) from None
    yield from _from_tree(tree, where)


def _from_tree(tree: Any, where: str) -> Iterator[QuantizationModifier]:
    """Stages hold "…_modifiers", and those hold modifiers by their names: the shapes that llm-compressor reads."""
    if not isinstance(tree, dict):
        raise InvalidFileError(f"expected stages with modifiers, found {tree!r}", where)
    for name, part in tree.items():
        if not isinstance(name, str):
            raise InvalidFileError(f"expected the name of a stage or a modifier, found {name!r}", where)
        if name == "QuantizationModifier":
            if not isinstance(part, dict | None):
                raise InvalidFileError(f"expected the settings of a QuantizationModifier, found {part!r}", where)
            yield QuantizationModifier(**(part or {}))
        elif name.endswith("Modifier"):
            raise InvalidArgumentError(f"expected QuantizationModifier, found {name!r}", where)
        elif isinstance(part, dict):
            yield from _from_tree(part, where)
        else:
            raise InvalidFileError(f"expected a stage or a modifier, found {name!r}", where)
