"""Painting of a subject: the trunk (skin, fat, muscle, bone, lungs, bowel), then the labelled organs."""

from __future__ import annotations

import numpy as np

from learngn.phantom import anatomy
from learngn.phantom.canvas import Canvas, Mask
from learngn.phantom.shapes import Array, Coordinates
from learngn.phantom.variation import Subject

AIR, LUNG, FAT, SKIN, MUSCLE, BOWEL, FAECES, BLOOD, BONE, MARROW = (
    -1000.0,
    -840.0,
    -105.0,
    10.0,
    56.0,
    42.0,
    -60.0,
    140.0,
    520.0,
    210.0,
)

_WALL = 11.0  # muscle and ribs between fat and cavity [mm]


def paint(canvas: Canvas, subject: Subject) -> None:
    """Paint the whole subject."""
    cavity = _paint_trunk(canvas, subject.fat)
    for organ in anatomy.BODY:
        _paint_organ(canvas, subject, organ, cavity)


def _outline(points: Coordinates) -> Array:
    """Compute the depth under the skin [mm]: a superellipse, slimmer at the waist and flattened at the back."""
    x, y, z = points
    waist = np.exp(-(((z + 40) / 70) ** 2))
    width, front = 158 - 8 * waist, np.where(y > 0, 116 - 8 * waist, 112).astype(np.float32)
    across, along = (x / width) ** 2, (y / front) ** 2
    radius = (across**1.25 + along**1.25) ** np.float32(0.4)
    return np.asarray((1 - radius) * front, dtype=np.float32)


def _paint_trunk(canvas: Canvas, fat: float) -> Mask:
    """Paint all tissue without a label; return the mask of the abdominal cavity below the diaphragm."""
    x, y, z = canvas.points
    hu = canvas.hounsfield
    depth = _outline(canvas.points)
    hu[depth > 0] = SKIN
    hu[depth > 2.5] = FAT
    hu[depth > fat] = MUSCLE
    cavity = depth > fat + _WALL
    cavity &= (y > -78) | (np.abs(x) > 62)  # the back's muscles fill the rest
    right = 92 - 46 * ((x - 66) / 78) ** 2 - 52 * ((y - 14) / 92) ** 2
    left = 82 - 46 * ((x + 66) / 78) ** 2 - 52 * ((y - 14) / 92) ** 2
    above = z - np.maximum(right, left)
    abdomen = cavity & (above < 0)
    hu[abdomen] = FAT
    hu[cavity & (above > 4) & (np.abs(x + 6) > 26)] = LUNG
    canvas.fill(anatomy.HEART, BLOOD, cavity & (above > -8))
    _paint_bowel(canvas, abdomen)
    everywhere = depth > fat
    for shape in (*anatomy.PSOAS, *anatomy.BACK_MUSCLES):
        canvas.fill(shape, MUSCLE, everywhere)
    _paint_bones(canvas, depth - fat)
    return abdomen


def _paint_bowel(canvas: Canvas, abdomen: Mask) -> None:
    x, y, z = canvas.points
    # A gyroid is a surface that winds through space like loops of small bowel.
    pitch = np.float32(2 * np.pi / 62)
    sin_x, sin_y, sin_z = (np.sin(p * pitch) for p in (x + 0.35 * z, y + 0.2 * x, z + 0.3 * y))
    cos_x, cos_y, cos_z = (np.cos(p * pitch) for p in (x + 0.35 * z, y + 0.2 * x, z + 0.3 * y))
    gyroid = np.abs(sin_x * cos_y + sin_y * cos_z + sin_z * cos_x)
    loops = abdomen & (gyroid < 0.55) & (z < -22 + 0.12 * y - 0.35 * np.minimum(x, 0)) & (y > -24) & (np.abs(x) < 92)
    canvas.hounsfield[loops] = BOWEL
    for tube in anatomy.COLON:
        box = canvas.box(tube)
        depth = tube.depth(canvas.at(box))
        part = canvas.hounsfield[box]
        # Haustra: the wall bulges every few centimetres.
        bulge = 2.5 * np.cos(2 * np.pi / 30 * (x[box] + z[box]))
        inside = (depth + bulge > 0) & abdomen[box]
        part[inside] = BOWEL
        content = inside & (depth + bulge > 3)
        part[content] = FAECES
        part[content & (y[box] > tube.points[1][1] + 4)] = AIR


def _paint_bones(canvas: Canvas, depth: Array) -> None:
    """Paint vertebrae, spinous and transverse processes and ribs; `depth` is the depth below the fat [mm]."""
    x, y, z = canvas.points
    hu = canvas.hounsfield
    level = np.abs((z + 12) / 34 - np.round((z + 12) / 34)) * 34  # distance from the middle of a vertebra
    body = 1 - np.sqrt((x / 23) ** 2 + ((y + 44) / 17) ** 2)
    hu[body > 0] = MUSCLE + 30  # disc
    hu[(body > 0) & (level < 14)] = BONE
    hu[(body > 0.16) & (level < 11.5)] = MARROW
    arch = 1 - np.sqrt((x / 17) ** 2 + ((y + 69) / 14) ** 2)
    spine = (arch > 0) | ((np.abs(x) < 4) & (y < -76) & (y > -101) & (level < 11))
    transverse = (np.abs(y + 72) < 5) & (np.abs(x) < 40) & (level < 6)
    hu[(spine | transverse) & (depth > 2)] = BONE - 60
    hu[np.sqrt((x / 10) ** 2 + ((y + 68) / 8.5) ** 2) < 1] = 20  # canal
    rib = z + 0.55 * y
    near = np.abs(rib / 29 - np.round(rib / 29)) * 29 < 5.5
    cage = near & (depth > 2) & (depth < 9.5) & (np.abs(x) > 34) & (z > -38 + 0.72 * (y + 90))
    hu[cage] = BONE - 120
    hu[cage & (depth > 4) & (depth < 7.5)] = MARROW


def _paint_organ(canvas: Canvas, subject: Subject, organ: anatomy.Organ, cavity: Mask) -> None:
    wall = organ.hounsfield + subject.brightness[organ.label]
    for shape in organ.shapes:
        shape = subject.vary(organ, shape)
        box = canvas.box(shape)
        points = canvas.at(box)
        depth = shape.depth(points)
        inside = (depth > 0) & (cavity[box] | organ.thoracic)
        for hilum in organ.hilum:
            inside &= subject.vary(organ, hilum).depth(points) < 0
        part = canvas.hounsfield[box]
        part[inside] = wall
        canvas.labels[box][inside] = organ.label
        if organ.core is not None:
            core = inside & (depth > organ.rind)
            part[core] = organ.core
            if organ.air is not None:
                part[core & (points[1] > organ.air)] = AIR
    if organ.label == anatomy.LIVER:
        for shape in anatomy.LIVER_VESSELS:
            canvas.fill(subject.vary(organ, shape), BLOOD + 15, canvas.labels == organ.label)
