"""Exceptions of LearnGN: each says what failed, what was got, what was expected and what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST = 1000  # characters that a message quotes


class LearnGNError(Exception):
    """Base of every error that a user can mend.

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
    ``str(error)`` is one line, the one that the command line prints after ``error:``. What a terminal would not print
    but obey is escaped: names and headers come from anybody.
    """

    def __init__(self, what: str, got: str, expected: str, remedy: str) -> None:
        self.what, self.got, self.expected, self.remedy = what, got, expected, remedy
        shown = got if len(got) <= _LONGEST else f"{got[:_LONGEST]}..."
        message = f"{what}: got {shown}, expected {expected}; {remedy}"
        super().__init__(_one_line(message))

    def __reduce__(self) -> tuple[type[LearnGNError], tuple[str, str, str, str]]:
        """Let errors travel between processes."""
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


class HeaderWarning(UserWarning):
    """What an image's header says is contradictory, incomplete or rounded; the image is read all the same.

    Parameters
    ----------
    what : str
        The image, in the user's terms.
    said : str
        What its header says, and what is made of it.
    """

    def __init__(self, what: str, said: str) -> None:
        super().__init__(_one_line(f"{what}: {said}"))


@contextmanager
def header_warnings(show: Callable[[str], None] | None = None) -> Iterator[list[str]]:
    """Collect what is warned of about headers while the block runs, each message once.

    Parameters
    ----------
    show : callable, optional
        Takes each message when it comes. Without it, warnings are shown as they would be without the block.

    Yields
    ------
    list of str
        The messages so far.

    Notes
    -----
    As :func:`warnings.catch_warnings`, which it uses, it changes the state of the process for as long as the block
    takes.
    """
    messages: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", HeaderWarning)
        before = warnings.showwarning

        def collect(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if not issubclass(category, HeaderWarning):
                before(message, category, *place)
            elif str(message) not in messages:
                messages.append(str(message))
                if show is None:
                    before(message, category, *place)
                else:
                    show(str(message))

        warnings.showwarning = collect  # type: ignore[assignment]
        yield messages


def _one_line(message: str) -> str:
    """A message on one line, with what a terminal would obey escaped."""
    line = " ".join(message.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
