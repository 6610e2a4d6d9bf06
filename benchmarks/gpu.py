"""The optimisation of a pair on a GPU, beside the published scheme in plain PyTorch on the same card.

Usage: python benchmarks/gpu.py [SIDE SIDE SIDE [DEVICE [REPEATS]]]

Distances of two phantoms (192 160 256 voxels by default), to stride 4 in ten iterations: quartiles of the seconds a
pair and the kernels used, one JSON line a method. DEVICE is cuda by default, and REPEATS 21; with cpu it shows that
this script runs.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import replace

import torch

from learngn.kernels import backend
from learngn.phantom import abdomens
from learngn.registration import RegistrationPair, Request, Side, prepare, resolve
from learngn.settings import default_settings

_WARM_UP = 3
_METHODS = {"gauss-newton": ("compositional", "auto"), "published, plain PyTorch": ("published", "reference")}


def main(*arguments: str) -> None:
    """Print one JSON line a method."""
    shape = tuple(int(side) for side in arguments[:3]) or (192, 160, 256)
    device = arguments[3] if len(arguments) > 3 else "cuda"
    repeats = int(arguments[4]) if len(arguments) > 4 else 21
    fixed, moving = (phantom.labels.to(device) for phantom in abdomens(2, shape, seed=0))
    schedule = default_settings("distance", labels=True)
    # The quality is computed on the CPU and not timed here.
    schedule = replace(schedule, strides=(16, 8, 4), iterations=(3, 3, 4), quality=False)
    for name, (update, kernels) in _METHODS.items():
        os.environ["LEARNGN_KERNELS"] = kernels
        pair = RegistrationPair(Side.of(fixed, "fixed"), Side.of(moving, "moving"))
        prepared = prepare(pair, resolve(Request(settings=replace(schedule, update=update)), pair))
        # Every iteration ends in a number that the host reads: the clock needs no other meeting.
        times = [prepared.register().seconds["optimise"] for _ in range(_WARM_UP + repeats)][_WARM_UP:]
        card = torch.cuda.get_device_name() if device == "cuda" else device
        quartiles = statistics.quantiles(times, n=4)
        used = backend(torch.zeros(1, device=device)).name
        row = {"method": name, "kernels": used, "shape": shape, "device": card, "ms": [1e3 * q for q in quartiles]}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
