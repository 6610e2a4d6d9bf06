"""Options of a pair of scans: the scans, what guides their registration, and what scores it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngn.cli.options import INFINITE, KeypointScale, LabelNames
from learngn.cli.panels import EXPERT, GUIDANCE, INPUT, SCORES
from learngn.errors import ImageError, SettingsError

if TYPE_CHECKING:
    from learngn.io import Subject
    from learngn.registration import Guidance


@dataclass(frozen=True)
class PairOptions:
    """The fixed and the moving image, by position or by option, with their label maps, points and masks."""

    positions: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FIXED MOVING", show_default=False, hidden=True, rich_help_panel=INPUT),
    ] = None
    fixed: Annotated[
        Path | None,
        typer.Option(
            "--fixed",
            "-f",
            metavar="FILE",
            help="Fixed (reference) image; or FIXED as the first argument.",
            rich_help_panel=INPUT,
        ),
    ] = None
    moving: Annotated[
        Path | None,
        typer.Option(
            "--moving",
            "-m",
            metavar="FILE",
            help="Moving image; or MOVING as the second argument.",
            rich_help_panel=INPUT,
        ),
    ] = None
    initial_transform: Annotated[
        list[Path] | None,
        typer.Option(
            "--initial-transform",
            metavar="FILE",
            help="Transform to start from, fixed to moving; or fsl:FILE, greedy:FILE, ...",
            show_default=False,
            rich_help_panel=GUIDANCE,
        ),
    ] = None
    fixed_mask: Annotated[
        Path | None,
        typer.Option("--fixed-mask", metavar="FILE", help="Mask of the fixed image, 0 to 1.", rich_help_panel=GUIDANCE),
    ] = None
    moving_mask: Annotated[
        Path | None,
        typer.Option("--moving-mask", metavar="FILE", help="Mask of the moving image.", rich_help_panel=GUIDANCE),
    ] = None
    fixed_keypoints: Annotated[
        Path | None,
        typer.Option(
            "--fixed-keypoints",
            metavar="FILE",
            help="Key points in the fixed image that guide the registration.",
            rich_help_panel=GUIDANCE,
        ),
    ] = None
    moving_keypoints: Annotated[
        Path | None,
        typer.Option(
            "--moving-keypoints",
            metavar="FILE",
            help="The same key points in the moving image.",
            rich_help_panel=GUIDANCE,
        ),
    ] = None
    keypoint_weight: Annotated[
        float,
        typer.Option(
            "--keypoint-weight",
            metavar="W",
            help="Weight of the mean squared distance of the key points [1/mm²].",
            rich_help_panel=EXPERT,
        ),
    ] = 1.0
    keypoint_scale: KeypointScale = INFINITE
    tissue: Annotated[
        Path | None,
        typer.Option(
            "--tissue",
            metavar="FILE",
            help="Label map of the fixed image; organs may slide along its boundaries.",
            rich_help_panel=EXPERT,
        ),
    ] = None
    fixed_labels: Annotated[
        Path | None,
        typer.Option("--fixed-labels", metavar="FILE", help="Label map of the fixed image.", rich_help_panel=SCORES),
    ] = None
    moving_labels: Annotated[
        Path | None,
        typer.Option(
            "--moving-labels",
            metavar="FILE",
            help="Label map of the moving image; it is warped, too.",
            rich_help_panel=SCORES,
        ),
    ] = None
    label_names: LabelNames = None
    fixed_landmarks: Annotated[
        Path | None,
        typer.Option("--fixed-landmarks", metavar="FILE", help="Landmarks in the fixed image.", rich_help_panel=SCORES),
    ] = None
    moving_landmarks: Annotated[
        Path | None,
        typer.Option(
            "--moving-landmarks", metavar="FILE", help="The same landmarks in the moving image.", rich_help_panel=SCORES
        ),
    ] = None

    def subjects(self) -> tuple[Subject, Subject]:
        """Return the files of the fixed and of the moving image.

        Raises
        ------
        ImageError
            If an image is missing, or there are more than two.
        SettingsError
            If only one of the images has key points.
        """
        from learngn.io import Subject

        fixed, moving = self._scans()
        if (self.fixed_keypoints is None) != (self.moving_keypoints is None):
            raise SettingsError(
                "keypoints", "those of one scan", "those of both", "give --fixed-keypoints and --moving-keypoints"
            )
        return (
            Subject(fixed, self.fixed_labels, self.fixed_landmarks, self.fixed_mask, self.fixed_keypoints),
            Subject(moving, self.moving_labels, self.moving_landmarks, self.moving_mask, self.moving_keypoints),
        )

    def guidance(self) -> Guidance:
        """Return the use of masks and key points, and the initial transform."""
        from learngn.registration import Guidance

        initial = self.initial_transform or None
        return Guidance(masks=True, keypoints=self.keypoint_weight, scale=self.keypoint_scale, initial=initial)

    def _scans(self) -> tuple[Path, Path]:
        """Return the images that are named by options, and by the positions that are left for the others."""
        places = list(self.positions or [])
        found = [path or (places.pop(0) if places else None) for path in (self.fixed, self.moving)]
        fixed, moving = found
        remedy = "write: learngn register FIXED MOVING -o DIR, or name them by --fixed and --moving"
        if places:
            raise ImageError("images", f"{places[-1]} as well", "a fixed and a moving image", remedy)
        if fixed is None or moving is None:
            which = "fixed image" if fixed is None else "moving image"
            raise ImageError(which, "none", "a fixed and a moving image", remedy)
        return fixed, moving
