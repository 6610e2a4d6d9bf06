"""Content of masked and padded scans."""

import torch

from learngn.model.content import content_box


def test_the_box_of_the_content():
    x = torch.full((2, 3, 20, 30, 10), 7.0)
    assert content_box(x) == (slice(0, 20), slice(0, 30), slice(0, 10))  # nothing to tell a border by
    x[0, 1, 4, 10, 9] = 1
    x[1, 2, 6, 14, 9] = torch.nan
    assert content_box(x) == (slice(4, 7), slice(10, 15), slice(9, 10))
    assert content_box(x, 4) == (slice(4, 8), slice(9, 17), slice(6, 10))
    assert content_box(x, 16) == (slice(0, 16), slice(5, 21), slice(0, 10))
    x[0, 0, 0, 0, 0] = 8  # the corner is not what surrounds the content
    assert content_box(x) == (slice(0, 20), slice(0, 30), slice(0, 10))
