"""Compressed files: displacements rounded, one gzip stream of pieces that any number of threads made, little memory."""

import gzip
import subprocess
import tracemalloc
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine, DisplacementField, Grid, Image
from learngn.io import gzip_writer, read_learn2reg, read_transform, tiles, write_image, write_learn2reg, write_transform
from learngn.io.field_parts import rounding

STEP, BOUND = 1 / 128, 1 / 256 + 1e-5


@pytest.fixture
def many_pieces(monkeypatch):
    """Pieces of a few planes, and tiles of a few rows."""
    monkeypatch.setattr(tiles, "_SLAB", 4000)
    monkeypatch.setattr(tiles, "_TILE", 500)


@pytest.fixture(params=[1, 3])
def threads(request, monkeypatch):
    monkeypatch.setattr(gzip_writer, "_threads", lambda: request.param)


def stored(path):
    return np.asarray(nibabel.load(path).dataobj)


@pytest.mark.usefixtures("many_pieces", "threads")
def test_displacements_are_rounded_if_compressed_alone(chain, grid, tmp_path):
    for suffix in (".nii.gz", ".nii", ".mha"):
        write_transform(chain, tmp_path / f"a{suffix}", reference=grid, rounded=True)
    rounded, exact = stored(tmp_path / "a.nii.gz"), stored(tmp_path / "a.nii")
    assert np.abs(rounded - exact).max() <= BOUND
    np.testing.assert_array_equal(rounded, np.rint(rounded / STEP) * STEP)
    assert not np.signbit(rounded[rounded == 0]).any()
    matrix = np.diag([-1.0, -1, 1][: grid.ndim]) @ grid.affine[:-1, :-1]
    expected = np.einsum("ab,b...->...a", matrix, np.asarray(chain.on(grid).displacement())[0])
    np.testing.assert_allclose(exact.reshape(expected.shape), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(
        read_transform(tmp_path / "a.mha").data, read_transform(tmp_path / "a.nii").data, rtol=1e-5, atol=1e-5
    )


@pytest.mark.usefixtures("many_pieces")
def test_learn2reg_is_rounded_to_as_many_millimetres(chain, grid, moving_grid, tmp_path):
    for suffix in (".nii.gz", ".nii"):
        write_learn2reg(chain, tmp_path / f"disp_0001_0002{suffix}", grid, moving_grid, rounded=True)
    rounded, exact = (stored(tmp_path / f"disp_0001_0002{suffix}") for suffix in (".nii.gz", ".nii"))
    assert 0 < (np.abs(rounded - exact) * moving_grid.spacing).max() <= BOUND
    whole = np.moveaxis(np.asarray(chain.on(grid).displacement(moving_grid))[0], 0, -1)
    np.testing.assert_allclose(exact, whole, rtol=1e-5, atol=1e-4)
    assert read_learn2reg(tmp_path / "disp_0001_0002.nii.gz", grid, moving_grid).ndim == grid.ndim


@pytest.mark.parametrize(("voxel", "step"), [(3.0, STEP), (0.5, STEP), (0.3, STEP / 2), (0.01, 2**-13)])
def test_small_voxels_take_smaller_steps(voxel, step):
    assert rounding(voxel) == step
    assert rounding(voxel, unit=voxel) * voxel <= min(STEP, voxel / 64)


def test_fields_of_microscopy_are_kept(rng, tmp_path):
    grid = Grid.from_spacing((12, 10, 8), 0.001)
    field = DisplacementField(rng.normal(size=(1, 3, 12, 10, 8)).astype(np.float32), grid)
    write_transform(field, tmp_path / "a.nii.gz", rounded=True)
    np.testing.assert_allclose(read_transform(tmp_path / "a.nii.gz").data, field.data, atol=1 / 100)


def test_a_transform_is_saved_exactly_unless_asked_otherwise(chain, grid, tmp_path):
    for suffix in (".nii.gz", ".nii"):
        chain.save(tmp_path / f"a{suffix}", grid)
    np.testing.assert_array_equal(stored(tmp_path / "a.nii.gz"), stored(tmp_path / "a.nii"))


def test_writing_what_was_read_changes_nothing(chain, grid, tmp_path):
    write_transform(chain, tmp_path / "a.nii.gz", reference=grid, rounded=True)
    write_transform(read_transform(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz", rounded=True)
    np.testing.assert_array_equal(stored(tmp_path / "a.nii.gz"), stored(tmp_path / "b.nii.gz"))


@pytest.mark.usefixtures("many_pieces")
@pytest.mark.parametrize("kind", ["int16", None])
def test_one_stream_that_every_program_reads(kind, grid, rng, tmp_path, monkeypatch):
    values = rng.normal(size=(1, 1, *grid.shape)).astype(np.float32) * 900
    image, files = Image(values, grid, stored=kind), []
    for count in (1, 2, 5):
        monkeypatch.setattr(gzip_writer, "_threads", lambda count=count: count)
        write_image(image, tmp_path / f"{count}.nii.gz")
        files.append((tmp_path / f"{count}.nii.gz").read_bytes())
    assert files[0] == files[1] == files[2]
    stream = zlib.decompressobj(wbits=31)
    plain = stream.decompress(files[0])
    assert stream.eof
    assert not stream.unused_data
    write_image(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes() == plain == gzip.decompress(files[0])
    assert subprocess.run(["gzip", "-t", tmp_path / "1.nii.gz"], check=False).returncode == 0
    expected = values[0, 0] if kind is None else np.rint(values[0, 0]).astype(kind)
    np.testing.assert_array_equal(stored(tmp_path / "1.nii.gz"), expected)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "1.nii.gz"))).T, expected)


def test_an_error_in_a_piece_ends_the_writing(tmp_path, monkeypatch):
    made = []

    def piece(number):
        made.append(number)
        if number == 3:
            raise MemoryError
        return np.zeros(1000, np.int16)

    monkeypatch.setattr(gzip_writer, "_threads", lambda: 2)
    with pytest.raises(MemoryError):
        gzip_writer.write_pieces(tmp_path / "a.gz", lambda: b"head", [lambda n=n: piece(n) for n in range(100)])
    assert len(made) < 10


def peak(function):
    """Most memory that a function allocates at a time [bytes]."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "disp_0001_0002.nii.gz"])
def test_writing_takes_little_memory(name, rng, tmp_path, monkeypatch):
    monkeypatch.setattr(tiles, "_SLAB", 1 << 17)
    monkeypatch.setattr(gzip_writer, "_threads", lambda: 2)
    grid = Grid.from_spacing((80, 80, 80), (1.0, 2.0, 3.0))
    data = rng.normal(size=(1, 3, *grid.shape)).astype(np.float32)
    turned = np.array([[0.9, 0.1, 0, 3], [-0.1, 0.9, 0, 1], [0, 0, 1, 2], [0, 0, 0, 1]])
    chain = DisplacementField(data, grid).then(Affine(turned))
    write_transform(chain, tmp_path / "before.nii", reference=grid)  # modules are loaded
    if name.startswith("disp"):
        taken = peak(lambda: write_learn2reg(chain, tmp_path / name, grid, grid))
    else:
        taken = peak(lambda: write_transform(chain, tmp_path / name, reference=grid))
    assert taken < 0.3 * data.nbytes
    scan = Image(data[:, :1], grid, stored="int16")
    assert peak(lambda: write_image(scan, tmp_path / "scan.nii.gz")) < 0.9 * scan.data.nbytes


def test_reading_takes_the_file_and_the_result(rng, tmp_path):
    grid = Grid.from_spacing((80, 80, 80), (1.0, 2.0, 3.0))
    data = rng.normal(size=(1, 3, *grid.shape)).astype(np.float32)
    write_transform(DisplacementField(data, grid), tmp_path / "a.nii.gz")
    read_transform(tmp_path / "a.nii.gz")
    assert peak(lambda: read_transform(tmp_path / "a.nii.gz")) < 2.6 * data.nbytes
