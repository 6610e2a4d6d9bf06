"""Mean abdomen: position, size and intensity of the organs of a supine adult in the portal venous phase.

Coordinates are RAS mm about a point in front of the spine at the height of the renal hila.
"""

from __future__ import annotations

from dataclasses import dataclass

from learngn.phantom.shapes import Ellipsoid, Shape, Tube

ORGANS: dict[int, str] = {
    1: "liver",
    2: "right_kidney",
    3: "spleen",
    4: "pancreas",
    5: "aorta",
    6: "ivc",
    7: "right_adrenal",
    8: "left_adrenal",
    9: "gallbladder",
    10: "esophagus",
    11: "stomach",
    12: "duodenum",
    13: "left_kidney",
}
"""Label numbers and names of the organs, as in the Learn2Reg task of abdominal CT."""

LIVER = 1


@dataclass(frozen=True)
class Organ:
    """Labelled organ.

    Parameters
    ----------
    label : int
        Label, a key of :data:`ORGANS`.
    hounsfield : float
        Mean intensity of the tissue [HU].
    shapes : shapes
        Shapes whose union is the organ.
    core : float
        Intensity below the depth `rind` [HU]; that of the tissue unless the organ is hollow or layered.
    rind : float
        Thickness of the wall or cortex [mm].
    hilum : shapes
        Regions of fat that are cut out of the organ.
    air : float, optional
        Height above which a hollow organ holds air [mm, anterior].
    group : str
        Group of organs that move together from subject to subject.
    thoracic : bool
        Whether the organ extends above the diaphragm.
    """

    label: int
    hounsfield: float
    shapes: tuple[Shape, ...]
    group: str
    thoracic: bool = False
    core: float | None = None
    rind: float = 0.0
    hilum: tuple[Shape, ...] = ()
    air: float | None = None


# In the order of painting: where two organs overlap, the later one replaces the earlier one.
BODY: tuple[Organ, ...] = (
    Organ(
        1,
        112,
        (
            Ellipsoid((74, -4, 34), (62, 80, 74), (0, 14, 0)),
            Ellipsoid((66, 12, -10), (40, 58, 52), (0, -12, 0)),
            Ellipsoid((12, 40, 56), (76, 40, 36), (0, -14, -8)),
        ),
        "liver",
    ),
    Organ(
        3,
        124,
        (Ellipsoid((-95, -40, 40), (26, 46, 54), (18, -10, 22)), Ellipsoid((-92, -16, 58), (19, 36, 32), (0, 0, 20))),
        "spleen",
    ),
    Organ(
        11,
        82,
        (
            Tube(
                ((-66, 2, 84), (-78, 26, 52), (-66, 52, 16), (-34, 64, -6), (2, 60, -4), (26, 50, 4)),
                (36, 34, 27, 22, 18, 11),
            ),
        ),
        "gut",
        core=22,
        rind=4.5,
        air=52,
    ),
    Organ(
        12,
        68,
        (
            Tube(
                ((26, 50, 4), (44, 32, 8), (54, 14, -10), (52, 6, -44), (34, 4, -60), (4, 4, -56), (-24, 10, -40)),
                (11, 12, 12, 12, 12, 11, 10),
            ),
        ),
        "gut",
        core=30,
        rind=4.0,
    ),
    Organ(
        10,
        58,
        (Tube(((-2, -2, 140), (-6, 2, 112), (-22, 8, 94), (-42, 8, 84)), (9, 9, 9, 10)),),
        "gut",
        thoracic=True,
        core=20,
        rind=5.5,
    ),
    Organ(
        4,
        96,
        (
            Tube(
                ((34, 14, -24), (32, 18, -6), (14, 24, 4), (-16, 22, 14), (-46, 2, 22), (-78, -22, 34)),
                (13, 15, 11, 12, 13, 9),
            ),
        ),
        "pancreas",
    ),
    Organ(9, 12, (Tube(((48, 34, 12), (56, 54, -8), (60, 64, -24)), (8, 15, 17)),), "gallbladder", core=4, rind=2.5),
    Organ(
        2,
        178,
        (Ellipsoid((62, -46, -14), (27, 26, 55), (-10, 14, 0)),),
        "right kidney",
        core=138,
        rind=9.0,
        hilum=(Ellipsoid((40, -40, -14), (15, 10, 16)),),
    ),
    Organ(
        13,
        178,
        (Ellipsoid((-62, -48, 2), (28, 27, 57), (-10, -14, 0)),),
        "left kidney",
        core=138,
        rind=9.0,
        hilum=(Ellipsoid((-40, -42, 2), (15, 10, 16)),),
    ),
    Organ(
        7,
        78,
        (
            Tube(((34, -18, 58), (37, -30, 46), (43, -48, 40)), (4.5, 4.5, 3.6)),
            Tube(((37, -30, 46), (30, -46, 42)), (4, 3.6)),
        ),
        "right kidney",
    ),
    Organ(
        8,
        78,
        (
            Tube(((-30, -8, 54), (-35, -22, 48), (-44, -40, 44)), (4.5, 4.8, 3.8)),
            Tube(((-35, -22, 48), (-29, -40, 44)), (4, 3.8)),
        ),
        "left kidney",
    ),
    Organ(
        6,
        138,
        (Tube(((20, -12, -140), (20, -12, -30), (22, -10, 40), (24, 2, 88), (16, 12, 124)), (11, 11, 12, 13, 13)),),
        "vessels",
        thoracic=True,
    ),
    Organ(
        5,
        164,
        (Tube(((-8, -10, -140), (-8, -9, -40), (-8, -8, 40), (-10, -16, 140)), (8.5, 9.5, 11, 12)),),
        "vessels",
        thoracic=True,
    ),
)

LIVER_VESSELS: tuple[Shape, ...] = (
    Tube(((16, 16, 18), (34, 6, 34), (62, 4, 40), (92, -14, 40)), (7, 6.5, 4.5, 2.5)),
    Tube(((34, 6, 34), (30, 34, 48), (4, 46, 58)), (5.5, 4, 2.5)),
    Tube(((24, 2, 88), (56, -2, 78), (92, -10, 56)), (5, 4, 2.5)),
    Tube(((24, 4, 88), (40, 34, 76), (56, 52, 46)), (4.5, 4, 2.5)),
    Tube(((22, 6, 88), (2, 34, 74), (-24, 46, 62)), (4.5, 3.5, 2.5)),
)
"""Portal and hepatic veins, brighter than the liver around them."""

COLON: tuple[Tube, ...] = (
    Tube(((96, -4, -140), (100, -8, -70), (98, 16, -38)), (27, 24, 22)),
    Tube(((98, 16, -38), (52, 66, -52), (0, 74, -62), (-60, 60, -46), (-108, 6, 6)), (21, 20, 19, 19, 18)),
    Tube(((-108, 6, 6), (-114, -26, -50), (-108, -22, -140)), (17, 15, 15)),
)
HEART = Ellipsoid((-28, 36, 132), (62, 46, 44), (0, 18, -30))
PSOAS = (
    Tube(((28, -42, 26), (38, -38, -40), (48, -26, -140)), (8, 20, 25)),
    Tube(((-28, -42, 26), (-38, -38, -40), (-48, -26, -140)), (8, 20, 25)),
)
BACK_MUSCLES = (
    Tube(((36, -82, -140), (34, -84, 0), (30, -88, 140)), (25, 23, 18)),
    Tube(((-36, -82, -140), (-34, -84, 0), (-30, -88, 140)), (25, 23, 18)),
)
