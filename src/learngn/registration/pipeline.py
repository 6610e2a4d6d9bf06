"""Registration of one pair, from two images to a transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from learngn.arrays import require_torch
from learngn.clock import Clock
from learngn.features import Feature, FeatureStore
from learngn.geometry.grid import Grid
from learngn.geometry.grid_map import Interpolation, Resampling
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform
from learngn.interop import ImageLike, TransformLike
from learngn.optimise import Iteration, LandmarkPairs
from learngn.registration.initial import InitialTransform, initial_files, read_initial
from learngn.registration.messages import log_choice
from learngn.registration.pair import RegistrationPair, Side, with_own_labels
from learngn.registration.pictures import alike, read_picture_or_scan
from learngn.registration.placing import placed
from learngn.registration.points import PointsLike, read_keypoints, read_landmark_pair
from learngn.registration.prepare import prepare
from learngn.registration.progress import shown
from learngn.registration.reading import read_tissue
from learngn.registration.resolve import Request, resolve
from learngn.registration.result import Registration
from learngn.settings import Settings, read_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from learngn.model import Model
    from learngn.settings.settings import Changes


def register(
    fixed: ImageLike,
    moving: ImageLike,
    *,
    features: str | Feature | None = None,
    preset: str | None = None,
    settings: Settings | str | Path | None = None,
    model: str | Path | Model | None = None,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    fixed_labels: ImageLike | None = None,
    moving_labels: ImageLike | None = None,
    fixed_landmarks: PointsLike | None = None,
    moving_landmarks: PointsLike | None = None,
    keypoints: LandmarkPairs | tuple[PointsLike, PointsLike] | None = None,
    tissue: ImageLike | None = None,
    initial_transform: TransformLike | Sequence[TransformLike] | None = None,
    interpolation: Interpolation | None = None,
    background: float | None = None,
    callback: Callable[[Iteration], None] | None = None,
    progress: bool = False,
    device: str = "auto",
    **changes: Unpack[Changes],
) -> Registration:
    """Find the transform that aligns a moving image with a fixed one.

    Parameters
    ----------
    fixed, moving : ImageLike
        Two scans, or two label maps for features that compare label maps: paths, images of this package, of SimpleITK,
        nibabel, ANTs, TorchIO or MONAI, or ``(array, affine)``; see :func:`learngn.interop.as_image`. They may differ
        in shape, spacing and orientation.
    features : str or Feature, optional
        Features to compare: ``"mind"``, ``"mind,intensity:0.5"``, ..., or your own object. By default those of the
        settings or the preset; without either, those of the preset recognised from the scans
        (:func:`learngn.registration.recognise`), which also recognises label maps.
    preset : str, optional
        Name of a preset, see :data:`learngn.settings.PRESETS`.
    settings : Settings or path, optional
        Complete settings, or a file of them; by default those of the preset, or those that suit the features.
    model : path or Model, optional
        A trained model, with its own features and settings; `settings` may change its iterations. One of two modalities
        tells them by the numbers in the file names, ``NAME_0001_0000.nii.gz``; where there are none, pass
        :meth:`learngn.model.Model.for_modalities`.
    fixed_mask, moving_mask : ImageLike, optional
        Weights of the features, 0 to 1 (or label maps: 1 where they are not zero), on any grids. The displacement is
        computed everywhere.
    fixed_labels, moving_labels : ImageLike, optional
        Label maps on the voxels of the scans: for the scores, and the moving one is warped. They do not guide.
    fixed_landmarks, moving_landmarks : path or array, shape (M, D) [RAS mm], optional
        Corresponding points for the scores, in the same order. They do not guide.
    keypoints : LandmarkPairs or (fixed, moving), optional
        Corresponding points that guide the registration, as files or arrays of points, or with a weight; with the
        feature ``none`` it uses only these.
    tissue : ImageLike, optional
        Label map in the fixed image's world; the displacement may be discontinuous across the boundaries of its labels,
        for organs that slide.
    initial_transform : TransformLike or sequence of these, optional
        Transform from the fixed to the moving world from which to start: a path (``"fsl:FILE"`` names a format), a
        :class:`learngn.geometry.transform.Transform`, a homogeneous matrix in RAS mm, or a transform of SimpleITK; see
        :func:`learngn.interop.as_transform`. Several are applied to points of the fixed image in the given order.
        A linear one takes the place of the headers: the linear stage refines it, without a search for other positions
        (``affine="none"`` keeps it as it is). One with a displacement starts the optimisation of the displacement, and
        the linear stage is left out. The result contains it.
    interpolation, background : optional
        How the moving scan is resampled, see :meth:`learngn.geometry.grid_map.GridMap.warp`.
    callback : callable, optional
        Called with every :class:`learngn.optimise.Iteration`.
    progress : bool
        Show a progress bar, in a terminal (on stderr) or in a notebook.
    device : {"auto", "cpu", "cuda", "cuda:N"}
        Device for the computation. ``"auto"``: tensors stay where they are; otherwise a GPU if PyTorch is installed and
        finds one, unless `features` is an object of your own; else the CPU, which needs NumPy alone. The result is
        returned in the library and on the device of `fixed`; a model is moved to the device and stays there.
    **changes
        Single values of :class:`learngn.Settings` that replace those above: ``affine="rigid"``, ``symmetric=True``,
        ``strides=(8, 4)``, ``memory="4GB"``, ...

    Returns
    -------
    Registration

    Raises
    ------
    LearnGNError
        If an image cannot be read or registered, the images do not fit together, a feature is unknown, the model does
        not fit the images or the features, or this machine lacks the device.
    """
    clock = Clock()
    complete = read_settings(settings) if isinstance(settings, str | Path) else settings
    request = Request(features, preset, complete, changes, device)
    trained = model_of(model)
    with clock.stage("read"):
        label_maps = request.label_maps(trained)
        pictures = [read_picture_or_scan(image, labels=bool(label_maps)) for image in (fixed, moving)]
        (fixed_image, fixed_colour), (moving_image, moving_colour) = ((each.image, each.colour) for each in pictures)
        grids = pictures[0].file_grid, pictures[1].file_grid
        landmarks = read_landmark_pair((fixed_landmarks, moving_landmarks), grids)
        points = (None, None) if keypoints is None or isinstance(keypoints, LandmarkPairs) else keypoints
        pair = RegistrationPair(
            with_own_labels(Side.of(fixed_image, "fixed", fixed_mask, fixed_labels, landmarks[0], fixed_colour)),
            with_own_labels(Side.of(moving_image, "moving", moving_mask, moving_labels, landmarks[1], moving_colour)),
            _key_points(keypoints, grids),
            read_tissue(tissue, fixed_image.grid),
            files=_files(
                fixed=fixed_image, moving=moving_image, fixed_labels=fixed_labels, moving_labels=moving_labels,
                fixed_landmarks=fixed_landmarks, moving_landmarks=moving_landmarks, fixed_mask=fixed_mask,
                moving_mask=moving_mask, fixed_keypoints=points[0], moving_keypoints=points[1], tissue=tissue,
            ) | initial_files(initial_transform),
        )  # fmt: skip
        pair = pair.recognised() if label_maps is None else pair
        initial = read_initial(initial_transform, pair)
    resampling = Resampling(interpolation, background)
    with shown(progress, pair.fixed.grid.ndim, callback) as events:
        return register_pair(
            pair, request,
            model=trained, initial=initial, begins=events.begins, callback=events.step, resampling=resampling,
            clock=clock,
        )  # fmt: skip


def _key_points(
    given: LandmarkPairs | tuple[PointsLike, PointsLike] | None, grids: tuple[Grid, Grid]
) -> LandmarkPairs | None:
    return given if given is None or isinstance(given, LandmarkPairs) else read_keypoints(given, grids)


def _files(**given: object) -> dict[str, Path]:
    """Return the paths among arguments, and those of images that were read from files."""
    paths = {role: value.path if isinstance(value, Image) else value for role, value in given.items()}
    return {role: Path(path) for role, path in paths.items() if isinstance(path, str | Path)}


def register_pair(
    pair: RegistrationPair,
    request: Request,
    *,
    model: Model | None = None,
    initial: Transform | None = None,
    begins: Callable[[Settings], None] | None = None,
    callback: Callable[[Iteration], None] | None = None,
    store: FeatureStore | None = None,
    resampling: Resampling | None = None,
    clock: Clock | None = None,
) -> Registration:
    """Register a pair that has been read: choose the settings, align linearly, compute features, optimise.

    Parameters
    ----------
    pair : RegistrationPair
    request : Request
    model : Model, optional
    initial : Transform, optional
        Transform from the fixed to the moving world from which to start, see :func:`register`.
    begins : callable, optional
        Called with the settings when they have been chosen.
    callback : callable, optional
        Called with every :class:`learngn.optimise.Iteration`.
    store : FeatureStore, optional
        Cache of the features of each image, for its other pairs; see :func:`learngn.features.kept`.
    resampling : Resampling, optional
        Interpolation and background for warping the moving image.
    clock : Clock, optional
        Clock with the times of earlier stages.

    Returns
    -------
    Registration

    Raises
    ------
    LearnGNError
        See :func:`register`.
    """
    there, model = placed(pair, request, model)
    looked, to_header = pair, None
    if initial is None:  # an initial transform refers to the headers' resolutions
        there, to_header = alike(there)
        looked = alike(pair)[0]
    resolved = resolve(request, looked if model is None else there, model)
    start = None if initial is None else InitialTransform.of(initial, pair.fixed.grid, pair.moving.grid)
    resolved = resolved if start is None else start.settings(resolved)
    log_choice(pair, resolved, start)
    if begins is not None:
        begins(resolved.settings)
    placed_pair = there if start is None else start.placed(there)
    prepared = prepare(placed_pair, resolved, initial=start, store=store, clock=clock)
    result = prepared.register(model=model, callback=callback, resampling=resampling)
    if start is not None:
        transform, inverse = start.carried_back(result.transform, result.inverse)
        result = replace(result, transform=transform, inverse=inverse, initial=start)
    return (result if to_header is None else result.followed_by(to_header)).of_pair(pair)


def model_of(source: str | Path | Model | None) -> Model | None:
    """Return a model, read from its folder if need be.

    Raises
    ------
    ModelError
        If it cannot be read.
    MissingPackageError
        If PyTorch is not installed.
    """
    if source is None:
        return None
    require_torch("a model")
    from learngn.model import read_model

    return read_model(source) if isinstance(source, str | Path) else source
