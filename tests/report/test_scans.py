"""What of the scans' values is shown, and how exactly."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image as Picture

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.report.scans import CT_RANGES, Shown, displays_of

GRID = Grid.from_spacing((40, 32, 24))


def scan(low, high, lung=0.0):
    """A ramp, of CT from fat to `high` beside air of value `low`, with a part of lung."""
    values = np.linspace(max(low, -150), high, GRID.size).reshape(GRID.shape)
    values[:, :4] = low
    values[: int(lung * 40)] = -800
    return Image.from_array(values.astype(np.float32), GRID)


def test_all_ct_of_a_pair_has_one_window():
    found = displays_of({"fixed": scan(-1000, 500), "moving": scan(-1024, 900), "warped": scan(-1024, 700)}, {})
    assert found["fixed"] == found["moving"] == found["warped"]
    assert found["fixed"].group == "ct"
    assert found["fixed"].full[0] < -990
    assert found["fixed"].full[1] > 850
    assert found["fixed"].window == (-160, 240)


def test_a_chest_is_shown_in_full_range():
    found = displays_of({"fixed": scan(-1000, 500, lung=0.4)}, {})["fixed"]
    assert found.window == found.full


def test_other_scans_have_a_window_each_the_moving_one_the_same_before_and_after():
    found = displays_of({"fixed": scan(0, 100), "moving": scan(0, 900), "warped": scan(0, 300)}, {"fixed": (5, 50)})
    assert found["fixed"].window == (5, 50)
    assert found["moving"] == found["warped"]
    assert found["moving"].group == "moving"


def test_ct_beside_another_scan():
    found = displays_of({"fixed": scan(-1000, 500), "moving": scan(0, 900)}, {})
    assert (found["fixed"].group, found["moving"].group) == ("ct", "moving")
    assert len(found["moving"].ranges) == 1


@pytest.mark.parametrize("quality", [85, 60])
def test_the_ranges_of_ct_hold_every_value(quality):
    """As the page joins them: lung if it is well inside its range, then bone, else soft tissue."""
    image = Image.from_array(np.linspace(-1000, 2000, GRID.size).reshape(GRID.shape).astype(np.float32), GRID)
    part = Shown.of(image.data[0, 0], displays_of({"fixed": image}, {})["fixed"]).packed(quality)
    assert [tuple(limits[:2]) for limits in part.spec["ranges"]] == list(CT_RANGES)
    sizes = [size for _, _, size in part.spec["ranges"]]
    assert sum(sizes) == len(part.data)
    starts = np.cumsum([0, *sizes])
    greys = [
        np.asarray(Picture.open(io.BytesIO(part.data[start:stop])))[:32, :24].astype(float)
        for start, stop in pairwise(starts)
    ]
    lung, soft, bone, metal = (
        low + grey / 255 * (high - low) for grey, (low, high) in zip(greys, CT_RANGES, strict=True)
    )
    joined = np.where(greys[0] < 230, lung, np.where(greys[3] > 15, metal, np.where(greys[2] > 15, bone, soft)))
    truth = image.data[0, 0, 0]
    assert np.abs(joined - truth)[np.abs(truth) < 180].max(initial=0) < 8
    assert np.abs(joined - truth).max() < 40
