"""Memory: what a registration takes is foreseen, and kept within a budget."""

import json
import platform
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from learngn import Grid, Image, Settings, memory, register
from learngn.errors import LearnGNError, SettingsError
from learngn.evaluation import score
from learngn.geometry import sampling
from learngn.geometry.transform import DisplacementField
from learngn.io import read_image, write_image
from learngn.memory import affordable, linear_spacing, parse_size, peak_bytes, predicted_bytes, readable
from learngn.optimise import AffineGaussNewton
from learngn.phantom import abdomen
from learngn.registration import RegistrationPair, Request, Side, resolve
from learngn.settings import default_settings


def grid(n: int) -> Grid:
    return Grid.from_spacing((n, n, n), (2.0, 2.0, 2.0))


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("1500MB", 1500 * 10**6), ("2.5 GiB", 5 * 2**29), ("700m", 7 * 10**8), (12345, 12345)],
    ids=str,
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "4XB", "-3GB", "0", "4GB of it", "nan", "1e9GB", "99999999999TB"])
def test_what_is_no_size(text):
    with pytest.raises(SettingsError, match="memory"):
        parse_size(text)
    with pytest.raises(SettingsError, match="memory"):
        Settings("mind", "none", memory=text)


def test_sizes_for_people_are_rounded_up():
    assert [readable(n) for n in (619_000_001, 1_310_000_000, 4_000_000_000)] == ["620 MB", "1.4 GB", "4 GB"]


def test_finer_levels_more_channels_and_larger_scans_take_more():
    base = predicted_bytes(grid(128), grid(128), 12, 4.0)
    assert predicted_bytes(grid(128), grid(128), 12, 2.0) > base
    assert predicted_bytes(grid(128), grid(128), 40, 4.0) > base
    assert predicted_bytes(grid(192), grid(128), 12, 4.0) > base
    assert predicted_bytes(grid(192), grid(192), 1, 8.0, scored_first=True) < predicted_bytes(
        grid(192), grid(192), 1, 8.0
    )


def test_a_small_scan_in_a_large_one_is_bounded():
    """Voxels of the linear stage, whatever the extents, and what is foreseen of them."""
    whole = Grid.from_spacing((512, 512, 400), 0.7)
    for side in (200.0, 150.0, 48.0, 12.0, 1.0, 1e-3):
        block = Grid.from_spacing((64, 64, 64), side / 64)
        for pair in ((block, whole), (whole, block)):
            spacing = linear_spacing(*pair)
            assert max(g.coarsened(spacing).size for g in pair) <= 3_000_000
            assert predicted_bytes(*pair, 12, 0.7 * 16) < 2.2e9 + 84 * pair[0].size
    assert linear_spacing(grid(128), grid(160)) == AffineGaussNewton().spacings[-1] * 256  # as for one extent


def test_what_lies_on_the_moving_grid_alone_takes_less():
    options = (12, 2.0)
    one = predicted_bytes(grid(64), grid(160), *options, affine=False)
    both = predicted_bytes(grid(160), grid(160), *options, affine=False)
    assert predicted_bytes(grid(64), grid(64), *options, affine=False) < one < both


def test_levels_are_left_out_from_the_finest_on():
    strides, pair = (16, 8, 4, 2, 1), (grid(160), grid(160))
    needed = [predicted_bytes(*pair, 12, 2.0 * stride, scored_first=True) for stride in strides]
    assert affordable(strides, needed[-1], *pair, 12, 2.0) == 5
    assert affordable(strides, needed[-1] - 1, *pair, 12, 2.0) == 4
    with pytest.raises(SettingsError, match="4096000 voxels need") as refused:
        affordable(strides, needed[0] - 1, *pair, 12, 2.0)
    assert readable(needed[0]) in str(refused.value)


def test_a_schedule_is_cut_not_squeezed():
    settings = default_settings("mind", labels=False)
    budget = predicted_bytes(grid(160), grid(160), 12, 4.0, scored_first=True)  # with the affine stage
    sides = [
        Side.of(Image(np.random.default_rng(0).random((1, 1, 160, 160, 160), dtype=np.float32), grid(160)), name)
        for name in ("fixed", "moving")
    ]
    resolved = resolve(Request(settings=replace(settings, memory=budget)), RegistrationPair(*sides))
    cut = resolved.settings
    assert resolved.left_out == settings.strides[-1:]
    assert cut.strides == settings.strides[:-1]
    assert cut.iterations == settings.iterations[:-1]
    assert cut.lam == pytest.approx((settings.lam[0], settings.levels()[-2].lam))


def test_without_a_budget_in_need_the_same_bits():
    pair = [abdomen((40, 36, 32), seed=seed).scan for seed in (1, 2)]
    settings = Settings("mind", "none", strides=(4, 2), iterations=(3, 3), lam=(3.0, 1.0))
    plain, budgeted = (register(*pair, settings=settings, memory=memory) for memory in (None, "1000GB"))
    assert (plain.displacement.data == budgeted.displacement.data).all()
    assert (plain.settings.memory, budgeted.settings.memory) == (None, 10**12)
    with pytest.raises(LearnGNError, match="memory"):
        register(*pair, settings=settings, memory="3MB")


@pytest.mark.slow
def test_a_large_parent_does_not_count():
    held = bytearray(300_000_000)
    program = "from learngn.memory import peak_bytes; print(peak_bytes())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert peak_bytes() > len(held) > int(done.stdout) > 5_000_000


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Files of phantoms by size: (fixed, moving, fixed labels, moving labels)."""
    folder = tmp_path_factory.mktemp("scans")

    def files(*shape: int):
        paths = [folder / f"{kind}_{seed}_{shape}.nii.gz" for kind in ("scan", "labels") for seed in (1, 2)]
        if not paths[0].exists():
            for seed in (1, 2):
                phantom = abdomen(shape, seed=seed)
                write_image(phantom.scan, paths[seed - 1])
                write_image(phantom.labels, paths[seed + 1])
        return paths

    return files


def run(paths, out, *options):
    """Register in a process of its own, and return its metrics."""
    fixed, moving, fixed_labels, moving_labels = map(str, paths)
    program = "from learngn.cli import main; main()"
    labels = ("--fixed-labels", fixed_labels, "--moving-labels", moving_labels)
    command = [sys.executable, "-c", program, "register", fixed, moving, "-o", str(out), *labels, "--json", *options]
    done = subprocess.run([*command, "--no-report", "-q"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("shape", "features", "channels", "stride"),
    [((48, 40, 36), "mind", 12, 1), ((96, 80, 64), "mind,intensity:10", 13, 1), ((160, 144, 128), "intensity", 1, 2)],
    ids=str,
)
@pytest.mark.slow
def test_the_peak_is_foreseen(scans, tmp_path, shape, features, channels, stride, monkeypatch):
    monkeypatch.setattr(memory, "_PYTORCH", 0)  # which other tests may have imported here, but not the program
    paths = scans(*shape)
    options = ("--features", features, "--no-affine", "--strides", f"{2 * stride},{stride}", "--iterations", "1,2")
    metrics = run(paths, tmp_path, *options, "--threads", "2")
    measured = metrics["peak_memory_mb"] * 2**20
    lattice = Grid.from_spacing(shape, 1.0)
    discrete = metrics["settings"]["discrete"]
    foreseen = predicted_bytes(lattice, lattice, channels, stride, affine=False, discrete=discrete)
    assert measured <= foreseen <= 1.5 * measured


@pytest.mark.slow
def test_a_budget_is_kept(scans, tmp_path):
    paths = scans(96, 80, 64)
    options = (
        "--features",
        "mind,intensity:10",
        "--no-affine",
        "--strides",
        "4,2,1",
        "--iterations",
        "2,2,2",
        "--no-discrete",
    )
    metrics = run(paths, tmp_path, *options, "--memory", "340MB")
    assert metrics["settings"]["strides"] == [4.0, 2.0]
    assert metrics["settings"]["memory"] == 340_000_000
    assert metrics["peak_memory_mb"] * 2**20 <= 340e6
    assert any("To keep to 340 MB of memory the levels 1/1 were left out" in warning for warning in metrics["warnings"])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has this")
def test_a_large_array_is_made_of_the_memory_of_the_last_one():
    """Without fresh pages, which the system clears one by one; and it is returned when that is asked for."""
    program = """
import resource, numpy as np
from learngn.memory import give_back, keep_freed
from pathlib import Path
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
keep_freed()
np.ones(10**7)
first, held = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, resident()
np.ones(10**7)
second = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
give_back()
print(second - first < 10, held - resident() > 6 * 10**7)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def peak_of(work) -> int:
    """Largest size of the arrays that a function makes, besides those that exist [byte]."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_reading_and_warping_hold_no_second_volume(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(-1000, 1000, (192, 160, 150)).astype(np.int16)
    at, size = Grid.from_spacing(values.shape, (1.0, 1.0, 1.0)), 4 * values.size
    path = tmp_path / "scan.nii.gz"
    write_image(Image(values[None, None], at, stored="int16"), path)
    scan = read_image(path)  # and what is loaded once
    field = np.zeros((1, 3, *at.shape), np.float32)
    sampling.warp(scan.data, field, np.eye(4), at.shape, outside=0.0)
    assert scan.stored == "int16"
    np.testing.assert_array_equal(scan.data[0, 0], values)
    assert peak_of(lambda: sampling.warp(scan.data, field, np.eye(4), at.shape, outside=0.0)) < 1.1 * size
    monkeypatch.setattr("learngn.io.tiles._SLAB", 1 << 18)
    assert peak_of(lambda: read_image(path)) < 1.2 * size


def test_scores_hold_no_displacement_besides_the_field(monkeypatch):
    at = Grid.from_spacing((160, 96, 96), (1.0, 1.0, 1.0))
    labels = np.zeros(at.shape, np.uint8)
    labels[40:80, 30:60, 30:60] = 1
    maps = (Image.from_array(labels, at, labels=True),) * 2
    transform = DisplacementField.zero(at)
    monkeypatch.setattr("learngn.evaluation.deformation._AT_ONCE", 2**16)
    score(transform, at, at, labels=maps)  # and what is loaded once
    assert peak_of(lambda: score(transform, at, at, labels=maps)) < transform.data.nbytes / 3
