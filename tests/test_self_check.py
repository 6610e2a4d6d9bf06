"""Programs for a GPU are used only where they agree with the reference; here on the CPU, with programs that fail."""

import logging

import pytest
import torch

from learngn.kernels.fused import TorchKernels
from learngn.kernels.self_check import trusted

CPU = torch.device("cpu")


class Wrong(TorchKernels):
    name = "wrong"

    def smooth(self, blocks, stiffness, shift, rhs, x, omega):
        return super().smooth(blocks, stiffness, shift, rhs, x, omega) * (1.01 if x is not None else 1)


class NotFinite(TorchKernels):
    name = "not finite"

    def warp(self, image, field, matrix, shape):
        return super().warp(image, field, matrix, shape) * float("nan")


class Failing(TorchKernels):
    name = "failing"

    def normal_equations(self, fixed, warped, weight, symmetric):
        raise RuntimeError("no such instruction\nat line 1")


class NotCompiled(TorchKernels):
    name = "not compiled"

    def warp(self, image, field, matrix, shape):
        """Raise what Triton's compiler does: its own error for the function called, from there one for the caller."""
        try:
            raise ValueError("at 2:9:\ndef cell(p, n):\n    p = n.to(p)\n        ^\nAttributeError(\"no 'to'\")")
        except ValueError as error:
            raise RuntimeError("at 20:13:\n    c = cell(p, n)\n        ^") from error


def test_the_same_results_are_trusted_and_checked_once(tmp_path, monkeypatch):
    assert trusted(TorchKernels(), TorchKernels(), CPU, tmp_path)
    (mark,) = tmp_path.iterdir()
    assert mark.name.startswith("checked_")
    monkeypatch.setattr(TorchKernels, "warp", lambda *_: pytest.fail("checked again"))
    assert trusted(TorchKernels(), TorchKernels(), CPU, tmp_path)


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        (Wrong(), "smoothing of 2D differs"),
        (NotFinite(), "warp of 2D differs"),
        (Failing(), "failed (RuntimeError: no such instruction at line 1)"),
        (NotCompiled(), "failed (ValueError: p = n.to(p) AttributeError(\"no 'to'\"))"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_others_step_aside_with_one_warning(programs, reason, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "learngn"):
        assert not trusted(programs, TorchKernels(), CPU, tmp_path)
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert not list(tmp_path.iterdir())
