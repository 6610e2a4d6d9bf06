"""Floating-point type of the networks in training."""

from __future__ import annotations

import torch


def computes_in_bfloat16(precision: str, device: torch.device) -> bool:
    """Return whether networks are computed in bfloat16: as asked, or for ``"auto"`` where the device has instructions.

    Without such instructions bfloat16 is slower than float32.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
