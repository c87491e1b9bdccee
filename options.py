"""Options as data: a method with its name, words and parameters, from which node, command line and help are made."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path


@dataclass(frozen=True)
class Parameter:
    """One number that shapes a method.

    Any value strictly between `above` and `below` is valid, with `closed` the limits too; `minimum`, `maximum` and
    `step` are the sensible range for a slider or a widget.
    """

    name: str
    default: float
    minimum: float
    maximum: float
    step: float
    tooltip: str
    above: float = 0.0
    below: float = math.inf
    closed: bool = False

    def check(self, value: object) -> float:
        """Return `value` as a float; ValueError when it is no number or out of range."""
        number = isinstance(value, Real) and not isinstance(value, bool)
        if number and self.above < float(value) < self.below:  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
        if number and self.closed and float(value) in (self.above, self.below):  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
        raise ValueError(f"{self.name} must be {self.range}, got {value!r}; try {self.default:g}")

    @property
    def range(self) -> str:
        """Say which values are valid."""
        if self.below == math.inf:
            return f"a finite number above {self.above:g}"
        return ("from {:g} to {:g}" if self.closed else "a finite number between {:g} and {:g}").format(
            self.above, self.below
        )


@dataclass(frozen=True)
class Method:
    """A named choice, what a user is told of it, and the parameters that shape it."""

    name: str
    tooltip: str
    parameters: tuple[Parameter, ...] = ()

    def check(self, given: Mapping[str, object]) -> dict[str, float]:
        """Return every parameter's value, defaults filled in; ValueError for unknown names and bad values."""
        known = {p.name: p for p in self.parameters}
        if unknown := sorted(set(given) - set(known)):
            takes = ", ".join(known) or "none"
            raise ValueError(f"{self.name} has no parameter {', '.join(unknown)}; it takes: {takes}")
        return {name: p.check(given.get(name, p.default)) for name, p in known.items()}


def pick(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise ValueError, naming what is known of a kind of method, unless `name` is."""
    names = list(known)
    if name not in names:
        raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(names)}")


class OptionError(ValueError):
    """A choice that cannot work; each caller names the options in its message as its users know them.

    They stand in the message as `option` writes them, and come out as in Python where nobody says otherwise.
    """

    def words(self, called: Callable[[str], str] = str) -> str:
        """Return the message with every option as `called` names it."""
        return re.sub(r"\{--(\w+)\}", lambda found: called(found[1]), self.args[0])

    def __str__(self) -> str:
        return self.words()


def option(name: str) -> str:
    """Return an option as it stands in the message of an OptionError."""
    return f"{{--{name}}}"


class LostFileError(OptionError, FileNotFoundError):
    """An option that names a file which is not there."""


@contextmanager
def file_of(name: str, path: str | Path) -> Iterator[None]:
    """Make an error about the file that an option names say which option that is, too."""
    try:
        yield
    except OptionError:
        raise
    except (ValueError, OSError) as error:
        said = str(error)
        if isinstance(error, OSError) and error.strerror:
            said = f"{error.filename or path}: {error.strerror}"
        said = said if said.startswith(str(path)) else f"{path}: {said}"
        kind = LostFileError if isinstance(error, FileNotFoundError) else OptionError
        raise kind(f"{option(name)} {said}") from error


def named_values(option: str, text: str) -> tuple[str, dict[str, float]]:
    """Return the name and the numbers of NAME,key=number,…; ValueError, naming the option, if it has another form."""
    name, *pairs = text.split(",")
    values = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            values[key] = float(value)
        except ValueError:
            raise ValueError(f"{option} wants NAME,key=number,…; got {pair!r} in {text!r}") from None
    return name, values


def named_text(name: str, values: Mapping[str, float]) -> str:
    """Return what `named_values` reads: NAME,key=number,…."""
    return ",".join([name, *(f"{key}={value:g}" for key, value in values.items())])
