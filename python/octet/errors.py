"""The exceptions of Octet: one base, a class for each octet::ErrorCode, each also the built-in that Python users catch.

str(error) is the text of the C++ error, "context: message", where the context names the file, tensor, field or flag.
Source: include/octet/error.h.
"""

from __future__ import annotations


class OctetError(Exception):
    """What went wrong: `message`; where: `context` (a file, a tensor, a field or a flag; may be empty)."""

    code = "internal"

    def __init__(self, message: str, context: str = "") -> None:
        super().__init__(f"{context}: {message}" if context else message)
        self.message = message
        self.context = context

    def __reduce__(self) -> tuple[type[OctetError], tuple[str, str]]:
        return (type(self), (self.message, self.context))


class InvalidArgumentError(OctetError, ValueError):
    """The caller's value: an option, a sampling parameter, a prompt that is too long."""

    code = "invalid_argument"


class NotFoundError(OctetError, FileNotFoundError):
    """A file, a tensor or a model that is not there."""

    code = "not_found"


class InvalidFileError(OctetError, ValueError):
    """A file that is truncated, corrupt or contradicts itself."""

    code = "invalid_file"


class UnsupportedError(OctetError, NotImplementedError):
    """Well-formed, but of a kind that Octet does not run."""

    code = "unsupported"


class OutOfMemoryError(OctetError, MemoryError):
    """Does not fit, for example a cache too small for one sequence."""

    code = "out_of_memory"


class IOFailedError(OctetError, OSError):
    """The operating system refused to read or write."""

    code = "io"


class OverloadedError(OctetError, RuntimeError):
    """More requests than may wait: try again later."""

    code = "overloaded"


class UnavailableError(OctetError, RuntimeError):
    """The engine is shutting down, or belongs to another process (fork)."""

    code = "unavailable"


class InternalError(OctetError, RuntimeError):
    """A broken invariant: a bug in Octet."""

    code = "internal"
