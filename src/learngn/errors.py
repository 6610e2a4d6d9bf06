"""Exceptions of LearnGN: each says what failed, what was got, what was expected and what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

_LONGEST = 1000  # characters that a message quotes


class LearnGNError(Exception):
    """Base class of every error that a user can correct.

    Parameters
    ----------
    what : str
        What failed, in the user's terms ("fixed image", "feature 'mindd'").
    got : str
        What was found.
    expected : str
        What was expected instead.
    remedy : str
        What to do about it.

    Notes
    -----
    ``str(error)`` is the line that the command line prints after ``error:``. Control characters in it are escaped,
    since file names and headers may come from untrusted sources.
    """

    def __init__(self, what: str, got: str, expected: str, remedy: str) -> None:
        self.what, self.got, self.expected, self.remedy = what, got, expected, remedy
        shown = got if len(got) <= _LONGEST else f"{got[:_LONGEST]}..."
        message = f"{what}: got {shown}, expected {expected}; {remedy}"
        super().__init__(_one_line(message))

    def __reduce__(self) -> tuple[type[LearnGNError], tuple[str, str, str, str]]:
        """Support pickling, so that errors can be passed between processes."""
        return type(self), (self.what, self.got, self.expected, self.remedy)


class GeometryError(LearnGNError):
    """A grid, its affine, or the relation of two grids makes no sense."""


class ShapeError(LearnGNError):
    """A tensor has another shape, number of channels or number of dimensions than needed."""


class ImageError(LearnGNError):
    """An image cannot be read, or its values cannot be registered (empty, constant, not finite)."""


class LabelError(LearnGNError):
    """A label map does not belong to its image or holds no usable label."""


class TransformError(LearnGNError):
    """A transform cannot be read, applied or inverted."""


class LandmarkError(LearnGNError):
    """A landmark file cannot be read, or its points do not correspond."""


class MeshError(LearnGNError):
    """A mesh cannot be read, or its points or faces make no sense."""


class StreamlineError(LearnGNError):
    """Streamlines cannot be read, or their points or data make no sense."""


class FeatureError(LearnGNError):
    """A feature is unknown or cannot be computed from the image given."""


class DatasetError(LearnGNError):
    """A data set's description or one of its files is missing or wrong."""


class OutputError(LearnGNError):
    """An output cannot be written."""


class SettingsError(LearnGNError):
    """A setting is unknown or out of range."""


class ModelError(LearnGNError):
    """A trained model cannot be read, or does not fit what it is used for."""


class TrainingError(LearnGNError):
    """A training cannot begin or go on: too few subjects, missing labels, a loss that diverges."""


class ClusterError(LearnGNError):
    """Workers cannot be started or reached, or their scheduler is lost."""


class MissingPackageError(LearnGNError):
    """An optional package that the task needs is not installed."""


def require_packages(
    what: str, extra: str, *packages: str, error: type[LearnGNError] = MissingPackageError, otherwise: str = ""
) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Parameters
    ----------
    what : str
        Command or function that needs them, in the user's terms ("learngn evaluate --plot").
    extra : str
        Name of the extra of this project that installs them.
    *packages : str
        Names of the packages to import.
    error : type of LearnGNError
        Class of the error to raise.
    otherwise : str
        What else the user can do, added to the remedy.

    Raises
    ------
    LearnGNError
        An error of class `error`, if a package is missing.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        remedy = f"run: pip install 'learngn[{extra}]'" + (f", {otherwise}" if otherwise else "")
        raise error(what, f"no package {', '.join(missing)}", f"the extra [{extra}]", remedy)


class HeaderWarning(UserWarning):
    """Warning that an image's header is contradictory, incomplete or rounded; the image is read nevertheless.

    Parameters
    ----------
    what : str
        The image, in the user's terms.
    problem : str
        What is wrong with the header, and how it is read.
    """

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(_one_line(f"{what}: {problem}"))


@contextmanager
def header_warnings(show: Callable[[str], None] | None = None) -> Iterator[list[str]]:
    """Collect the warnings about headers that occur in a ``with`` block, each message once.

    Parameters
    ----------
    show : callable, optional
        Function that is called with each new message. Without it, warnings are shown as usual.

    Yields
    ------
    list of str
        The messages so far.

    Notes
    -----
    Like :func:`warnings.catch_warnings`, which it uses, it changes the state of the whole process during the block.
    """
    messages: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", HeaderWarning)
        show_as_usual = warnings.showwarning

        def collect(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if not issubclass(category, HeaderWarning):
                show_as_usual(message, category, *place)
            elif str(message) not in messages:
                messages.append(str(message))
                if show is None:
                    show_as_usual(message, category, *place)
                else:
                    show(str(message))

        warnings.showwarning = collect  # type: ignore[assignment]
        yield messages


def _one_line(message: str) -> str:
    """Return a message as one line, with control characters escaped."""
    line = " ".join(message.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
