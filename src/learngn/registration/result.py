"""Result of a registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from learngn.arrays import Array, shared
from learngn.errors import LabelError
from learngn.geometry.grid import FloatArray
from learngn.geometry.grid_map import Resampling
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.interop import ImageLike, as_image
from learngn.io import labels_on
from learngn.optimise import Iteration, StopReason
from learngn.quality import Verdict
from learngn.registration.pair import RegistrationPair
from learngn.registration.pictures import warped_colour
from learngn.registration.resolve import Resolved
from learngn.settings import Settings
from learngn.uncertainty import Uncertainty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from learngn.evaluation import PairScores, VolumeChange
    from learngn.registration.initial import InitialTransform


@dataclass(frozen=True, eq=False)
class Registration:
    """Result of :func:`learngn.register`.

    Attributes
    ----------
    transform : Composite
        Transform from the fixed to the moving world: the displacement, then the affine.
    warped : Image
        The moving image on the fixed grid, interpolated once.
    pair : RegistrationPair
        The registered pair.
    history : tuple of Iteration
        Every Gauss-Newton step.
    stop : StopReason
        Reason why the finest level stopped.
    resolved : Resolved
        Settings and feature used, with the reasons for their choice.
    affine_start : str
        Name of the start that the affine stage chose, ``"initial"`` for a given initial transform; ``"none"`` if the
        stage was skipped.
    seconds : dict
        Times of the stages [s]: read, features, affine, discrete, optimise, uncertainty, warp.
    inverse : Composite, optional
        Transform from the moving to the fixed world, if the settings are symmetric or diffeomorphic.
    inverse_error : float, optional
        Mean distance between a voxel and its position after the transform and its inverse, where that is inside the
        fixed image [voxel of the fixed image].
    uncertainty : Uncertainty, optional
        Uncertainty of the displacement, if the settings ask for it.
    verdict : Verdict, optional
        Whether the result can be trusted, with reasons; None without :attr:`learngn.Settings.quality`.
    resampling : Resampling
        How the moving image was resampled.
    initial : InitialTransform, optional
        The initial transform, if one was given; `transform` contains it.
    """

    transform: Composite
    warped: Image
    pair: RegistrationPair = field(repr=False)
    history: tuple[Iteration, ...] = field(repr=False)
    stop: StopReason
    resolved: Resolved
    affine_start: str
    seconds: dict[str, float] = field(repr=False)
    inverse: Composite | None = None
    inverse_error: float | None = None
    uncertainty: Uncertainty | None = None
    verdict: Verdict | None = None
    resampling: Resampling = field(default_factory=Resampling, repr=False)
    initial: InitialTransform | None = None

    def followed_by(self, matrix: FloatArray) -> Registration:
        """Return the result for a moving image in another world, to which a matrix, (D+1, D+1), maps points."""
        transform = Composite((self.displacement, Affine(matrix @ self.affine.matrix)))
        inverse = self.inverse
        if inverse is not None:
            inverse = Composite((transform.parts[1].inverse(), *inverse.parts[1:]))
        return replace(self, transform=transform, inverse=inverse)

    def of_pair(self, pair: RegistrationPair) -> Registration:
        """Return the result for the same pair in another library or on another device, in which it is returned."""
        array = pair.fixed.scan.data
        return replace(
            self,
            transform=_like(self.transform, array),
            warped=self.warped.like(array),
            pair=pair,
            inverse=None if self.inverse is None else _like(self.inverse, array),
            uncertainty=None if self.uncertainty is None else self.uncertainty.like(array),
        )

    def __repr__(self) -> str:
        resolved, grid = self.resolved, self.fixed.grid
        parts = [
            self.title,
            str(grid),
            resolved.settings.features if resolved.preset is None else f"preset {resolved.preset}",
            f"finest level {resolved.spacing:.3g} mm",
            f"{len(self.history)} steps",
            "not judged" if self.verdict is None else f"verdict {self.verdict.status}",
            f"{sum(self.seconds.values()):.1f} s",
        ]
        return f"Registration({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Return verdict, slices before and after, and scores, as notebooks show them."""
        from learngn.report.notebook import registration_html

        return registration_html(self)

    @property
    def title(self) -> str:
        """Which scan is registered onto which, by the names of their files if they have some."""
        fixed, moving = (
            image.name if image.path else what
            for image, what in ((self.fixed, "fixed scan"), (self.moving, "moving scan"))
        )
        return f"{moving} onto {fixed}"

    @property
    def fixed(self) -> Image:
        """The fixed image."""
        return self.pair.fixed.scan

    @property
    def moving(self) -> Image:
        """The moving image."""
        return self.pair.moving.scan

    @property
    def settings(self) -> Settings:
        """The complete settings that were used."""
        return self.resolved.settings

    @property
    def displacement(self) -> DisplacementField:
        """The displacement without the affine, on the fixed grid."""
        part = self.transform.parts[0]
        if not isinstance(part, DisplacementField):
            raise TypeError("the first part of a registration's transform is its displacement")
        return part

    @property
    def affine(self) -> Affine:
        """The affine without the displacement; the identity if the stage was skipped."""
        part = self.transform.parts[1]
        if not isinstance(part, Affine):
            raise TypeError("the second part of a registration's transform is its affine")
        return part

    @property
    def given_labels(self) -> tuple[Image | None, Image | None]:
        """Label maps of the fixed and of the moving scan; None if the label map is the registered image itself."""
        sides = self.pair.fixed, self.pair.moving
        fixed, moving = (None if side.labels is side.image else side.labels for side in sides)
        return fixed, moving

    @cached_property
    def warped_labels(self) -> Image | None:
        """The moving label map given for the scores, on the fixed grid; None without one."""
        labels = self.given_labels[1]
        return None if labels is None else self.transform.warp(labels, self.fixed.grid)

    @cached_property
    def warped_colour(self) -> Image | None:
        """The moving picture on the fixed grid in colour, (1, 3, *S); None for a scan without colours."""
        colour = self.pair.moving.colour
        return None if colour is None else warped_colour(colour, self.transform, self.fixed.grid, self.resampling)

    @cached_property
    def scores(self) -> PairScores:
        """Scores of the pair: overlap with labels, landmark error with landmarks, folding; computed once."""
        from learngn.evaluation import score_pair

        return score_pair(self.transform, self.pair)

    def jacobian(self, *, log: bool = False, affine: bool = True) -> Image:
        """Return the Jacobian determinant on the fixed grid: volume in the moving scan by volume in the fixed scan.

        Parameters
        ----------
        log : bool
            Its natural logarithm: positive where tissue is larger in the moving scan; log 0.001 where the transform
            folds.
        affine : bool
            Whether of the whole transform, or of the displacement without its affine part.

        Returns
        -------
        Image, (1, 1, *S)
            Below 1 where tissue is smaller in the moving scan than in the fixed one; 0 or less where the transform
            folds.
        """
        from learngn.evaluation import jacobian_of

        return jacobian_of(self.transform, self.fixed.grid, affine=affine).image(log=log)

    def volume_changes(
        self, labels: ImageLike | None = None, *, affine: bool = True, names: Mapping[int, str] | None = None
    ) -> list[VolumeChange]:
        """Return the change of the volume of every label of the fixed scan, with intervals from the uncertainty.

        Parameters
        ----------
        labels : ImageLike, optional
            Label map on the voxels of the fixed scan, by default the one that was given for the scores.
        affine : bool
            As in :meth:`jacobian`.
        names : dict, optional
            Names of the labels.

        Raises
        ------
        LabelError
            If there are no labels, or they lie on other voxels than those of the fixed scan.
        """
        from learngn.evaluation import jacobian_of, volume_changes

        grid, given = self.fixed.grid, self.pair.fixed.labels if labels is None else as_image(labels, labels=True)
        if given is None:
            raise LabelError("labels", "none", "those of the fixed scan", "pass a label map")
        jacobian = jacobian_of(self.transform, grid, affine=affine)
        on_grid = labels_on(given, grid, "labels")
        draws = None if self.uncertainty is None else self.uncertainty.draws
        return volume_changes(jacobian, on_grid, names=names, draws=draws)

    def save(self, directory: str | Path, *, label_names: Mapping[int, str] | None = None, report: bool = True) -> Path:
        """Write the result folder that ``learngn register`` writes, atomically: all files or none.

        Parameters
        ----------
        directory : path
            Folder, created if necessary. See docs/formats.md for its files; ``metrics.json`` names the files of the
            scans if they were read from files.
        label_names : dict, optional
            Names of the labels, see :func:`learngn.io.read_label_names`.
        report : bool
            Write ``report.html``.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder cannot be written, or an input would be overwritten.
        """
        from learngn.workflow.result import save_registration

        return save_registration(self, directory, label_names=label_names, report=report)

    def report(self, path: str | Path = "report.html", *, label_names: Mapping[int, str] | None = None) -> Path:
        """Write the report alone: one HTML file, with linked views, that needs no network.

        Parameters
        ----------
        path : path
            The file, ``.html``.
        label_names : dict, optional
            Names of the labels, see :func:`learngn.io.read_label_names`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        from learngn.workflow.result import save_report

        return save_report(self, path, label_names=label_names)

    def plot(self) -> Figure:
        """Draw three slices before and after registration, and the change of volume.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; elsewhere, write it by ``savefig``.

        Raises
        ------
        MissingPackageError
            If matplotlib is not installed.
        """
        from learngn.report.figure import draw_registration

        return draw_registration(self)


def _like(transform: Composite, array: Array) -> Composite:
    """Return a chain with its displacements in the library and on the device of an array."""
    parts = (
        replace(part, data=shared(part.data, array)) if isinstance(part, DisplacementField) else part
        for part in transform.parts
    )
    return Composite(tuple(parts))
