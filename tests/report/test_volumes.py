"""Volumes of the page: what is packed is unpacked again, and fits."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image as Picture

from learngn.geometry.grid import Grid
from learngn.report import volumes
from learngn.report.material import material_of
from learngn.report.orientation import Orientation
from learngn.report.viewer import viewer_data

RAI = Grid.from_spacing((13, 21, 10), direction=np.diag([-1.0, -1.0, -1.0]))  # as the page has it
TURN = Orientation.of(RAI)


def smooth(shape):
    axes = np.meshgrid(*[np.linspace(0, np.pi, n) for n in shape], indexing="ij")
    return np.round(255 * np.prod([np.sin(a) for a in axes], axis=0)).astype(np.uint8)


def test_a_scan_there_and_back():
    values = smooth(RAI.shape)
    part = volumes.pack_scan(TURN.volume(values), 90)
    mosaic = np.asarray(Picture.open(io.BytesIO(part.data)))
    height, width = part.spec["tile"]
    for z, expected in enumerate(TURN.volume(values)):
        row, column = divmod(z, part.spec["columns"])
        tile = mosaic[row * height :, column * width :][: expected.shape[0], : expected.shape[1]]
        assert np.abs(tile.astype(int) - expected).max() <= 6


def test_labels_there_and_back():
    labels = np.array([0, 7, -3, 500, 7])[np.arange(RAI.size) % 5].reshape(RAI.shape)
    values = volumes.label_values(labels)
    part = volumes.pack_codes(TURN.volume(volumes.codes_of(labels, values)))
    codes = np.frombuffer(gzip.decompress(part.data), dtype=np.uint8).reshape(part.spec["shape"])
    np.testing.assert_array_equal(np.array([0, *values])[codes], TURN.volume(labels))


def test_more_labels_than_codes():
    labels = np.arange(300)[None]
    codes = volumes.codes_of(labels, volumes.label_values(labels))
    assert codes[0, 254] == 254
    assert set(codes[0, 255:]) == {volumes.OTHERS}


def test_a_field_there_and_back():
    field = np.random.default_rng(0).integers(-32000, 32000, (3, 4, 5, 6)).astype(np.int16)
    part = volumes.pack_smooth(field)
    differences = np.frombuffer(gzip.decompress(part.data), dtype="<i2").reshape(field.shape)
    np.testing.assert_array_equal(np.cumsum(differences, axis=-1, dtype=np.int16), field)


def test_scales_end_at_readable_numbers():
    assert [volumes.rounded_up(v) for v in (0.0, 0.0314, 12.01, 30.0)] == [0.0, 0.032, 13.0, 30.0]


@pytest.mark.parametrize("budget", [30_000, 100_000])
def test_a_page_fits_its_budget(make_result, budget):
    result, _ = make_result(Grid.from_spacing((96, 80, 48)), labels=False)
    description, parts = viewer_data(material_of(result), budget)
    assert 0 < sum(len(part.data) for part in parts.values()) <= budget
    assert {"fixed", "before", "warped", "displacement", "jacobian"} <= set(description["volumes"])


def test_views_begin_where_most_labels_are():
    codes = np.zeros((12, 10, 8), dtype=np.uint8)
    codes[2, 3, 6], codes[2:4, 3, 6], codes[2, 3:5, 6] = 1, 2, 3
    assert volumes.fullest(codes) == [2, 3, 6]
    assert volumes.fullest(0 * codes) == [6, 5, 4]
