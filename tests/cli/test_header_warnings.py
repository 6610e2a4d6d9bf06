"""What is odd about the headers of images: one line of each command, once, in its place."""

import warnings

import nibabel
import numpy as np
import pytest

from learngn import Affine
from learngn.cli import console
from learngn.errors import HeaderWarning, header_warnings


@pytest.fixture
def contradiction(scans, tmp_path):
    """The fixed scan, its sform elsewhere than its qform."""
    image = nibabel.load(scans["fixed"])
    sform = image.affine.copy()
    sform[0, 3] += 5
    image.set_sform(sform, 2)
    nibabel.save(image, tmp_path / "contradiction.nii.gz")
    return tmp_path / "contradiction.nii.gz"


def test_a_command_warns_once_and_in_one_line(learngn, scans, contradiction, tmp_path):
    Affine(np.eye(4)).save(tmp_path / "a.tfm")
    arguments = ("apply", contradiction, "-t", tmp_path / "a.tfm", "-r", contradiction, "-o", tmp_path / "out.nii.gz")
    said = learngn(*arguments).stderr.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"warning: image {contradiction}: the sform (code 2, aligned) and the qform")
    assert learngn(*arguments, "-q").stderr == ""


def test_a_block_within_a_command_collects_too(capsys):
    with console.header_warnings(quiet=False) as outer, header_warnings() as inner:
        for _ in range(2):
            warnings.warn(HeaderWarning("image a.nii", "two\nlines"), stacklevel=1)
    assert outer == inner == ["image a.nii: two lines"]
    assert capsys.readouterr().err == "warning: image a.nii: two lines\n"
