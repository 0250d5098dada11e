"""Arguments that Octet does not have: refused by name, with the nearest one that it has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from octet.errors import InvalidArgumentError


def refuse_unknown(function: str, unknown: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises TypeError for the first of `unknown`, naming the nearest of `known`."""
    for name in unknown:
        known = sorted(known)
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else f"; there are {', '.join(known)}"
        raise TypeError(f"{function}() has no argument '{name}'{hint}")


def set_field(options: Any, name: str, value: Any, argument: str) -> None:
    """Sets a field of the library's options. Raises TypeError naming the argument where it cannot hold the value."""
    try:
        setattr(options, name, value)
    except TypeError:
        raise TypeError(f"{argument} cannot be {value!r}") from None


def take_inert(function: str, unknown: dict[str, Any], inert: Mapping[str, tuple[tuple[Any, ...], str]]) -> None:
    """Takes out of `unknown` what other programs have and Octet does not, where the value says what Octet does anyway.

    inert: for each name the values that change nothing, and why any other is refused.
    """
    for name, (values, reason) in inert.items():
        if name not in unknown:
            continue
        value = unknown.pop(name)
        if not any(value is allowed or value == allowed for allowed in values):
            expected = " or ".join(repr(allowed) for allowed in values) or "it left out"
            raise InvalidArgumentError(f"{reason}: expected {expected}, found {value!r}", f"{function}: {name}")
