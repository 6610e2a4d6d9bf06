"""Reading of the subjects of a training."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from learngn.io import Subject, scan_numbers
from learngn.learning.data import Example, TrainingData
from learngn.learning.selection import Selection
from learngn.threads import thread_count


def read_data(
    selection: Selection,
    read: Callable[..., Example],
    organs: tuple[int, ...],
    others: tuple[int, ...],
    unseen: float,
    workers: int | None,
) -> TrainingData:
    """Read every subject once, several at a time.

    Parameters
    ----------
    selection : Selection
    read : callable
        Reads a subject, see :func:`learngn.learning.data.read_example`.
    organs, others : tuple of int
        Labels that teach φ, and those that correspond within a pair alone.
    unseen : float
        See :class:`learngn.learning.TrainingConfig`.
    workers : int, optional
        Number of subjects that are read at a time; by default the number of threads.
    """

    def example(subject: Subject) -> Example:
        code = scan_numbers(subject.image)[1]
        return read(subject, modality=selection.modalities.index(code) if selection.modalities else 0)

    subjects = selection.subjects
    with ThreadPoolExecutor(workers or thread_count()) as pool:
        examples = dict(zip((subject.image for subject in subjects), pool.map(example, subjects), strict=True))
    held_out = [(examples[fixed.image], examples[moving.image]) for fixed, moving in selection.held_out]
    pairing = selection.pairing.mapped(lambda subject: examples[subject.image])
    taught, whole = pairing.parted(unseen) if unseen else (pairing, pairing)
    return TrainingData(taught, whole, held_out, organs, others)
