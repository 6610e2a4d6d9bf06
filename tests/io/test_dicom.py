"""A folder of DICOM slices is a volume; what is no volume is refused."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from learngn.errors import ImageError
from learngn.io import read_grid, read_image


def write_series(folder, uid, positions, description="chest", *, direction=(1, 0, 0, 0, 1, 0)):
    """Slices of 5 x 4 pixels, 1.5 x 1.25 mm, in HU 100 n + pixel, at the positions given [LPS mm]."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for n, position in enumerate(positions):
        image = sitk.GetImageFromArray((np.arange(20).reshape(1, 4, 5) + 100 * n).astype(np.int16))
        image.SetSpacing((1.5, 1.25, 2.0))
        tags = {
            "0008|0008": "DERIVED\\SECONDARY",
            "0008|0018": f"{uid}.{n}",
            "0008|0060": "CT",
            "0008|103e": description,
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0011": "7",
            "0020|0013": str(n),
            "0020|0032": "\\".join(str(x) for x in position),
            "0020|0037": "\\".join(str(x) for x in direction),
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}_{len(positions) - n}.dcm"))
        writer.Execute(image)


def test_slices_become_a_volume(tmp_path):
    write_series(tmp_path / "ct", "1.2.3.4", [(-10, -20, 5 + 2.5 * n) for n in range(4)])
    (tmp_path / "ct" / "notes.txt").write_text("not a slice")
    image = read_image(tmp_path / "ct")
    assert image.grid.shape == (5, 4, 4)
    np.testing.assert_allclose(image.grid.spacing, (1.5, 1.25, 2.5))
    np.testing.assert_allclose(image.grid.origin, (10, 20, 5))
    assert image.grid.axis_codes == "LPS"
    assert image.data[0, 0, 0, 0].tolist() == [0, 100, 200, 300]  # in the order of their places, not their names
    assert image.data[0, 0, :, 1, 0].tolist() == [5, 6, 7, 8, 9]
    assert read_grid(tmp_path / "ct") == image.grid
    assert torch.equal(read_image(tmp_path / "ct", labels=True).data, image.data.to(torch.int16))


def test_several_series_are_listed(tmp_path):
    write_series(tmp_path / "ct", "1.2.3.4", [(0, 0, 2 * n) for n in range(4)], "thin")
    write_series(tmp_path / "ct", "1.2.3.5", [(0, 0, 5 * n) for n in range(2)], "thick")
    with pytest.raises(ImageError, match=r"2 series: .*7 thin \(4 files.*7 thick \(2 files"):
        read_image(tmp_path / "ct")


def test_a_missing_slice_is_noticed(tmp_path, capfd):
    write_series(tmp_path / "ct", "1.2.3.4", [(0, 0, z) for z in (0, 2, 6, 8)])
    with pytest.raises(ImageError, match=r"slices up to 0\.67 mm"):
        read_image(tmp_path / "ct")
    assert capfd.readouterr() == ("", "")


def test_a_tilted_gantry_is_noticed(tmp_path):
    write_series(tmp_path / "ct", "1.2.3.4", [(0, 0.5 * n, 2 * n) for n in range(4)])
    with pytest.raises(ImageError, match="slices up to"):
        read_image(tmp_path / "ct")
