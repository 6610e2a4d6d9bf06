"""Files of every kind that LearnGN reads, and ways to spoil them; all that is drawn depends on the generator alone."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
import torch

from learngn import Affine, Composite, DisplacementField, Grid, Image
from learngn.io import write_frames, write_image, write_learn2reg, write_transform
from learngn.learning.checkpoint import Checkpoint, write_checkpoint
from learngn.model import LineariserConfig, Model, ModelConfig, write_model
from learngn.settings import Settings, default_settings, write_settings

Spoiler = Callable[[bytes, np.random.Generator], bytes]

GRID = Grid.from_spacing((24, 20, 16), (2.0, 2.0, 3.0))
_HEADER = 352  # bytes of NIfTI-1
# Fields of NIfTI-1: offset, format, values that make no sense, or that only just do.
_NIFTI_FIELDS = (
    (0, "<i", (0, 540, -348, 1543569408)),
    (40, "<h", (-1, 0, 1, 5, 7, 8, 32767)),
    *((40 + 2 * axis, "<h", (-32768, -1, 0, 1, 2, 30000, 32767)) for axis in range(1, 8)),
    (68, "<h", (-1, 1006, 1007, 1005, 9999)),
    (70, "<h", (-1, 0, 1, 2, 8, 16, 32, 64, 128, 256, 512, 768, 1536, 1792, 2304, 9999)),
    (72, "<h", (-8, 0, 1, 7, 8, 16, 32, 64, 32767)),
    *((76 + 4 * axis, "<f", (-1.0, 0.0, 1e-40, 1e38, float("nan"), float("inf"))) for axis in range(4)),
    (108, "<f", (-352.0, 0.0, 1.0, 352.5, 1e10, 1e38, float("nan"), float("inf"))),
    (112, "<f", (0.0, -1.0, 1e38, float("nan"), float("inf"))),
    (116, "<f", (-1e38, float("nan"), float("inf"))),
    (252, "<h", (-1, 0, 1, 2, 9, 32767)),
    (254, "<h", (-1, 0, 1, 2, 9, 32767)),
    *((256 + 4 * n, "<f", (0.0, 1e38, float("nan"), float("-inf"))) for n in range(6)),
    *((280 + 4 * n, "<f", (0.0, -1.0, 1e38, float("nan"), float("inf"))) for n in range(12)),
    (344, "4s", (b"ni1\0", b"n+2\0", b"\0\0\0\0", b"n+1 ")),
)
_WORDS = (b"nan", b"-1", b"0", b"1e999", b"9" * 5000, b"\xff\xfe", b"\0", b'"', b"{", b"]", b"true", b"null",
          b"\xc2\xb2", b"-0.0", b"1e-320", b"99999999999", b"..", b"\n", b",", b"x" * 300)  # fmt: skip


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut short at any byte."""
    return content[: rng.integers(len(content) + 1)]


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bits turned, anywhere or in the first bytes, where headers are."""
    spoilt = bytearray(content)
    end = min(len(spoilt), _HEADER) if rng.random() < 0.6 else len(spoilt)
    for place in rng.integers(end, size=rng.integers(1, 20)) if end else ():
        spoilt[place] ^= 1 << rng.integers(8)
    return bytes(spoilt)


def noise(content: bytes, rng: np.random.Generator) -> bytes:
    """Random bytes, perhaps behind a true beginning."""
    return content[: rng.choice([0, 0, 4, 348])] + rng.bytes(rng.integers(1, 2000))


def another(content: bytes, rng: np.random.Generator) -> bytes:
    """Something else altogether."""
    choices = (
        b"",
        b"\0",
        b"hello\n" * 200,
        b"[" * 200_000,
        b"\x1f\x8b",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"a" * 400,
    )
    return choices[rng.integers(len(choices))]


def spliced(content: bytes, rng: np.random.Generator) -> bytes:
    """A part left out, doubled, or moved."""
    first, second = sorted(rng.integers(len(content) + 1, size=2))
    return content[:first] + content[second:] if rng.random() < 0.5 else content[:second] + content[first:]


def nifti_field(content: bytes, rng: np.random.Generator) -> bytes:
    """Fields of the header that make no sense."""
    spoilt = bytearray(content.ljust(_HEADER, b"\0"))
    for _ in range(rng.integers(1, 4)):
        offset, form, values = _NIFTI_FIELDS[rng.integers(len(_NIFTI_FIELDS))]
        struct.pack_into(form, spoilt, offset, values[rng.integers(len(values))])
    return bytes(spoilt)


def swapped(content: bytes, rng: np.random.Generator) -> bytes:
    """A NIfTI header in the other byte order, or a part of it."""
    spoilt = bytearray(content)
    for offset, form, _ in _NIFTI_FIELDS[: rng.integers(1, len(_NIFTI_FIELDS))]:
        size = struct.calcsize(form)
        spoilt[offset : offset + size] = spoilt[offset : offset + size][::-1]
    return bytes(spoilt)


def zipped(spoil: Spoiler) -> Spoiler:
    """What `spoil` does to the content of a gzip file."""

    def wrapped(content: bytes, rng: np.random.Generator) -> bytes:
        return gzip.compress(spoil(gzip.decompress(content), rng), 1)

    return wrapped


def bomb(content: bytes, rng: np.random.Generator) -> bytes:
    """A gzip file that unpacks to a gigabyte, behind a true header or none, small or huge in its own words."""
    block = gzip.compress(bytes(1 << 24), 9)
    head = bytearray(gzip.decompress(content)[:_HEADER] if rng.random() < 0.8 else b"")
    if head and rng.random() < 0.5:
        struct.pack_into("<3h", head, 42, *(int(n) for n in rng.choice([1000, 20000, 32767], size=3)))
    return gzip.compress(bytes(head), 1) + block * 64


def plain(content: bytes, rng: np.random.Generator) -> bytes:
    """What is named gzip and is not."""
    return gzip.decompress(content)


def word(content: bytes, rng: np.random.Generator) -> bytes:
    """A word of a text exchanged."""
    breaks = [n for n, byte in enumerate(content) if byte in b" ,:=\n[]{}\"'"] or [0, len(content)]
    first = int(rng.integers(len(breaks)))
    last = min(len(breaks) - 1, first + int(rng.integers(1, 3)))
    return content[: breaks[first] + 1] + _WORDS[rng.integers(len(_WORDS))] + content[breaks[last] :]


COMMON: tuple[Spoiler, ...] = (truncated, flipped, noise, another, spliced)
NIFTI: tuple[Spoiler, ...] = (*COMMON, nifti_field, nifti_field, nifti_field, swapped)
GZIP: tuple[Spoiler, ...] = (*COMMON, *(zipped(spoil) for spoil in NIFTI), bomb, plain)
TEXT: tuple[Spoiler, ...] = (*COMMON, word, word, word)


def spoilers(path: Path) -> tuple[Spoiler, ...]:
    """Ways to spoil a file."""
    if path.name.endswith((".nii.gz", ".mgz")):
        return GZIP
    if path.suffix in (".nii", ".mgh", ".hdr"):
        return NIFTI
    return TEXT if path.suffix not in (".png", ".tif", ".dcm", ".pt", ".npz", ".mat", ".h5", ".safetensors") else COMMON


def write_samples(folder: Path) -> None:
    """Write a good file of every kind."""
    rng = np.random.default_rng(0)
    axes = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in GRID.shape], indexing="ij"), axis=-1)
    ball = (((axes - 0.5) / 0.35) ** 2).sum(-1) < 1
    scan = (100 * ball + 20 * np.sin(9 * axes).sum(-1)).astype(np.float32)
    image = Image.from_array(scan, GRID)
    labels = Image.from_array(ball.astype(np.uint8), GRID, labels=True)
    plane = Image.from_array(np.abs(scan[:, :, 8]), Grid.from_spacing(GRID.shape[:2], 1.0, (0, 0), -np.eye(2)))
    for suffix in (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"):
        write_image(image, folder / f"scan{suffix}")
        write_image(labels, folder / f"labels{suffix}")
    nibabel.save(nibabel.Nifti2Image(scan, GRID.affine), folder / "second.nii")
    nibabel.save(nibabel.Nifti1Pair(scan, GRID.affine), folder / "pair.hdr")
    for suffix in (".mgh", ".mgz"):
        nibabel.save(nibabel.MGHImage(scan, GRID.affine), folder / f"scan{suffix}")
    write_frames([image, image, image], folder / "series.nii.gz", 2.0)
    for suffix in (".png", ".tif"):
        write_image(plane, folder / f"plane{suffix}")
    sitk.WriteImage(sitk.GetImageFromArray(scan[:, :, 8].astype(np.int16)), str(folder / "slice.dcm"))
    field = DisplacementField(torch.from_numpy(rng.normal(size=(1, 3, *GRID.shape)).astype(np.float32)), GRID)
    affine = Affine(np.diag([1.1, 0.9, 1.0, 1.0]))
    for suffix in (".nii", ".nii.gz", ".mha", ".nrrd"):
        write_transform(field, folder / f"field{suffix}")
    write_transform(Composite((field, affine)), folder / "chain.h5")
    for suffix in (".tfm", ".txt", ".mat"):
        write_transform(affine, folder / f"affine{suffix}")
    for suffix in (".nii.gz", ".npz"):
        write_learn2reg(field, folder / f"disp_0001_0002{suffix}", GRID, GRID)
    np.savez(folder / "probabilities.npz", probabilities=np.stack([1 - ball, ball]).astype(np.float32).T)
    (folder / "points.csv").write_text("x_ras,y_ras,z_ras,name,weight\n1,2,3,left,1\n-4,5,6.5,right,0.5\n")
    (folder / "voxels.csv").write_text("3,4,5\n10,11,12\n")
    _write_dataset(folder, image, labels)
    write_settings(default_settings("mind", False), folder / "settings.json")
    (folder / "config.toml").write_text("features = 'distance'\nsteps = 100\n[losses]\nlabels = 0.5\n")
    (folder / "config.json").write_text('{"features": "distance", "steps": 100, "losses": {"labels": 0.5}}')
    record = {"pair": "0001_0002", "settings": default_settings("mind", False).as_dict(), "dice_mean": 0.5}
    (folder / "results.jsonl").write_text(json.dumps(record) + "\n")
    _write_networks(folder)


def _write_dataset(folder: Path, image: Image, labels: Image) -> None:
    names = [f"Toy_{n:04d}_0000.nii.gz" for n in (1, 2, 3)]
    for kind, content in (("imagesTr", image), ("labelsTr", labels)):
        (folder / kind).mkdir(exist_ok=True)
        for name in names:
            write_image(content, folder / kind / name)
    scans = [f"./imagesTr/{name}" for name in names]
    description = {
        "name": "Toy",
        "labels": {"0": "background", "1": "ball"},
        "training": [{"image": scan, "label": scan.replace("images", "labels")} for scan in scans[:1]],
        "registration_val": [{"fixed": scans[1], "moving": scans[2]}],
    }
    (folder / "Toy_dataset.json").write_text(json.dumps(description))
    (folder / "pairs.csv").write_text("fixed,moving\n1,2\nimagesTr/Toy_0002_0000.nii.gz,3\n")


def _write_networks(folder: Path) -> None:
    settings = Settings(features="intensity", affine=False, strides=(4, 2), iterations=(1, 1), lam=(0.3, 0.05))
    config = ModelConfig(ndim=3, settings=settings, spacing=2.0, channels=1, lineariser=LineariserConfig(hidden=4))
    write_model(Model(config), folder / "model")
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    torch.jit.trace(network, torch.zeros(1, 1, 8, 8, 8)).save(folder / "network.pt")  # type: ignore[no-untyped-call]
    (folder / "checkpoint").mkdir(exist_ok=True)
    values = dict.fromkeys(Checkpoint.__dataclass_fields__, None) | {"identity": "a", "step": 1}
    write_checkpoint(Checkpoint(**values), folder / "checkpoint")
