"""Every exception Shotline raises on purpose.

::

    ShotlineError
    ├── InputError            something given to us is wrong: names the file, the field, the line
    │   ├── ConfigError       a configuration file; carries every problem at once
    │   ├── DatasetError      a dataset or one of its files
    │   ├── AudioError        an audio file
    │   └── GeometryError     a position or a frame that cannot be
    ├── MessageError          bytes from the wire that are not a message; carries a reject reason
    └── EdgeError             the machine under us
        ├── TransportError    sockets: port in use, no such interface
        └── StorageError      disk full, database locked or damaged

Exceptions are for callers' mistakes and broken machines. A question that has no answer (a shot that cannot be
located) is answered by type, not by an exception.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AudioError",
    "ConfigError",
    "DatasetError",
    "EdgeError",
    "GeometryError",
    "InputError",
    "MessageError",
    "Problem",
    "ShotlineError",
    "StorageError",
    "TransportError",
]


class ShotlineError(Exception):
    """Base of all. Its text says what was seen, what was expected and what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one place.

    Parameters
    ----------
    message : str
        What was seen, what was expected, what to do.
    source : str
        File, or "" when the value did not come from a file.
    field : str
        Dotted path of the field, or "".
    line : int
        One-based line in the file; 0 when unknown.
    """

    message: str
    source: str = ""
    field: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.source and self.line else self.source
        return ": ".join(part for part in (place, self.field, self.message) if part)


class InputError(ShotlineError):
    """Input that cannot be used. Carries one or more `Problem`.

    Parameters
    ----------
    message : str
        What was seen, what was expected, what to do.
    source, field, line
        See `Problem`.
    """

    def __init__(self, message: str, *, source: object = "", field: str = "", line: int = 0) -> None:
        self.problems: tuple[Problem, ...] = (Problem(message, str(source), field, line),)
        super().__init__(str(self.problems[0]))


class ConfigError(InputError):
    """A configuration file with one or more mistakes, all reported at once."""

    @classmethod
    def from_problems(cls, problems: tuple[Problem, ...]) -> ConfigError:
        """Build one error out of every problem found (at least one)."""
        first = problems[0]
        error = cls(first.message, source=first.source, field=first.field, line=first.line)
        error.problems = problems
        error.args = ("\n".join(str(problem) for problem in problems),)
        return error


class DatasetError(InputError):
    """A dataset, or a file in it, that cannot be read as its format says."""


class AudioError(InputError):
    """An audio file that is broken, empty, or of a kind that is not accepted."""


class GeometryError(InputError):
    """A position or frame that cannot be."""


class MessageError(ShotlineError):
    """Bytes that are not an acceptable message.

    Parameters
    ----------
    reason : str
        One of the values of `shotline.messages.RejectReason`.
    detail : str
        What was seen and what was expected.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class EdgeError(ShotlineError):
    """The machine under us does not do what we need."""


class TransportError(EdgeError):
    """A socket that cannot be opened, bound or used."""


class StorageError(EdgeError):
    """A store that cannot be written or read."""
