"""A progress bar on standard error: tqdm where it is installed, else a plain one of our own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol


class Bar(Protocol):
    """What is used of tqdm."""

    def update(self, n: int = 1) -> Any:
        """Counts n more."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """A word behind the bar."""

    def close(self) -> None:
        """Ends the line."""


class PlainBar:
    """One line that is written over, at most ten times a second; nothing at all where it is disabled."""

    def __init__(self, total: int, desc: str, unit: str = "it", disable: bool = False) -> None:
        self._total, self._desc, self._unit, self._disable = total, desc, unit, disable
        self._done, self._words = 0, ""
        self._started, self._drawn = time.monotonic(), 0.0
        self._draw()

    def update(self, n: int = 1) -> None:
        """Counts n more."""
        self._done += n
        if time.monotonic() - self._drawn > 0.1:
            self._draw()

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """A word behind the bar."""
        self._words = s
        if refresh:
            self._draw()

    def close(self) -> None:
        """Ends the line."""
        if self._disable:
            return
        self._draw()
        self._disable = True
        sys.stderr.write("\n")

    def _draw(self) -> None:
        if self._disable:
            return
        self._drawn = time.monotonic()
        seconds = self._drawn - self._started
        rate = f"{self._done / seconds:.2f} {self._unit}/s" if seconds > 0 and self._done else ""
        words = ", ".join(word for word in (rate, self._words) if word)
        sys.stderr.write(f"\r{self._desc}: {self._done}/{self._total} [{seconds:.0f} s{', ' + words if words else ''}]")
        sys.stderr.flush()


def open_bar(use_tqdm: bool | Callable[..., Any], total: int, desc: str, unit: str = "it") -> Bar:
    """use_tqdm: whether there is a bar, or what makes one (tqdm's signature), as vLLM has it."""
    if callable(use_tqdm):
        return use_tqdm(total=total, desc=desc, unit=unit)
    if use_tqdm:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            pass
        else:
            return tqdm(total=total, desc=desc, unit=unit, dynamic_ncols=True)
    return PlainBar(total, desc, unit, disable=not use_tqdm)


class Steps:
    """A bar for each part that a computation of the library goes through, which says how far it is."""

    def __init__(self, use_tqdm: bool | Callable[..., Any], unit: str) -> None:
        self._use_tqdm, self._unit = use_tqdm, unit
        self._name, self._done = "", 0
        self._bar: Bar | None = None

    def __call__(self, name: str, done: int, total: int, words: str = "") -> None:
        """`done` of `total`, with words behind the bar; another name than before is another bar."""
        if self._bar is None or name != self._name:
            self.close()
            self._name, self._done = name, 0
            self._bar = open_bar(self._use_tqdm, total, name, self._unit)
        if words:
            self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(done - self._done)
        self._done = done

    def close(self) -> None:
        """Ends the last bar's line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
