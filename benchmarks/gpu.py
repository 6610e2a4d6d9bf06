"""The optimisation of a pair on a GPU, beside the published scheme in plain PyTorch on the same card.

Usage: python benchmarks/gpu.py [SIDE SIDE SIDE [DEVICE]]

Distances of two phantoms (192 160 256 voxels by default), to stride 4 in ten iterations: quartiles of the seconds a
pair, one JSON line a method. DEVICE is cuda; with cpu it shows that this script runs.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import replace

import torch

from learngn.geometry.image import Image
from learngn.phantom import abdomens
from learngn.registration import RegistrationPair, Request, Side, prepare, resolve
from learngn.settings import default_settings

_REPEATS = 21
_METHODS = {"gauss-newton": ("compositional", "auto"), "published, plain PyTorch": ("published", "torch")}


def main(*arguments: str) -> None:
    """Print one JSON line a method."""
    shape = tuple(int(side) for side in arguments[:3]) or (192, 160, 256)
    device = arguments[3] if len(arguments) > 3 else "cuda"
    fixed, moving = (
        Image(p.labels.data.to(device), p.labels.grid, p.labels.labels) for p in abdomens(2, shape, seed=0)
    )
    usual = replace(default_settings("distance", labels=True), strides=(16, 8, 4), iterations=(3, 3, 4))
    for name, (update, kernels) in _METHODS.items():
        os.environ["LEARNGN_KERNELS"] = kernels
        pair = RegistrationPair(Side.of(fixed, "fixed"), Side.of(moving, "moving"))
        prepared = prepare(pair, resolve(Request(settings=replace(usual, update=update)), pair))
        # Every iteration ends in a number that the host reads: the clock needs no other meeting.
        times = [prepared.register().seconds["optimise"] for _ in range(_REPEATS + 3)][3:]
        card = torch.cuda.get_device_name() if device == "cuda" else device
        quartiles = statistics.quantiles(times, n=4)
        print(
            json.dumps({"method": name, "shape": shape, "device": card, "ms": [1e3 * q for q in quartiles]}), flush=True
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
