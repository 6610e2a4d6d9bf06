"""Which encoder belongs to which scan of a pair of two modalities."""

from __future__ import annotations

import re
from collections.abc import Sequence

from learngn.errors import ModelError
from learngn.model.architecture import Modality

_CODE = re.compile(r"_\d{4}_(\d{4})\.")


def modalities_of(known: Sequence[Modality], given: tuple[str, str] | None, names: tuple[str, str]) -> tuple[int, int]:
    """Return the indices of the modalities of the fixed and of the moving scan.

    Parameters
    ----------
    known : sequence of Modality
        The modalities of the model.
    given : (str, str), optional
        Names or codes of those of the scans; by default the codes in the file names.
    names : (str, str)
        File names of the scans, ``NAME_SSSS_MMMM.nii.gz``.

    Raises
    ------
    ModelError
        If a modality is unknown, the names do not tell them, or the model has only one.
    """
    choice = " and ".join(f"{modality.name} ({modality.code})" for modality in known)
    if not known:
        raise ModelError("modalities", ", ".join(given or ()), "none: the model is for one modality", "leave them out")
    codes = given or tuple(match[1] if (match := _CODE.search(name)) else "" for name in names)
    found = [_index(known, code) for code in codes]
    if len(found) != len(names) or None in found:
        got = ", ".join(given) if given else f"names that do not tell them ({', '.join(names)})"
        raise ModelError(
            "modalities of the pair",
            got,
            f"two of the model's: {choice}",
            f"name those of the fixed and the moving scan: --modalities {','.join(m.name for m in known)}",
        )
    return found[0] or 0, found[1] or 0


def _index(known: Sequence[Modality], name: str) -> int | None:
    """Return the index of a modality by its name, its code, or the number of its code."""
    wanted = name.strip().lower()
    for index, modality in enumerate(known):
        number = str(int(modality.code)) if modality.code.isdigit() else modality.code
        if wanted in (modality.name.lower(), modality.code.lower(), number):
            return index
    return None
