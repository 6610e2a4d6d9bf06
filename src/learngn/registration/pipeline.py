"""Registration of one pair, from two images to a transform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from learngn.arrays import require_torch
from learngn.clock import Clock
from learngn.features import Feature, FeatureStore
from learngn.geometry.grid_map import Resampling
from learngn.interop import ImageLike, as_image
from learngn.optimise import Iteration, LandmarkPairs
from learngn.registration.messages import log_choice
from learngn.registration.pair import RegistrationPair, Side
from learngn.registration.placing import placed
from learngn.registration.prepare import prepare
from learngn.registration.reading import read_tissue
from learngn.registration.resolve import Request, resolve
from learngn.registration.result import Registration
from learngn.settings import Settings

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
    settings: Settings | None = None,
    model: str | Path | Model | None = None,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    landmarks: LandmarkPairs | None = None,
    tissue: ImageLike | None = None,
    callback: Callable[[Iteration], None] | None = None,
    device: str = "auto",
    **changes: Unpack[Changes],
) -> Registration:
    """Find the transform that aligns a moving image with a fixed one.

    Parameters
    ----------
    fixed, moving : ImageLike
        Two scans, or two label maps for features that compare label maps: paths, images of this package, of SimpleITK,
        nibabel, TorchIO or MONAI, or ``(array, affine)``; see :func:`learngn.interop.as_image`. They may differ in
        shape, spacing and orientation.
    features : str or Feature, optional
        Features to compare: ``"mind"``, ``"mind,intensity:0.5"``, ..., or your own object. By default those of the
        settings or the preset; without either, those of the preset recognised from the scans
        (:func:`learngn.registration.recognise`), which also recognises label maps.
    preset : str, optional
        Name of a preset, see :data:`learngn.settings.PRESETS`.
    settings : Settings, optional
        Complete settings; by default those of the preset, or those that suit the features.
    model : path or Model, optional
        A trained model, with its own features and settings; `settings` may change its iterations. One of two modalities
        tells them by the numbers in the file names, ``NAME_0001_0000.nii.gz``; where there are none, pass
        :meth:`learngn.model.Model.for_modalities`.
    fixed_mask, moving_mask : ImageLike, optional
        Weights of the features, 0 to 1 (or label maps: 1 where they are not zero), on any grids. The displacement is
        computed everywhere.
    landmarks : LandmarkPairs, optional
        Pairs of points that guide the registration; with the feature ``none`` it uses only these.
    tissue : ImageLike, optional
        Label map in the fixed image's world; the displacement may be discontinuous across the boundaries of its labels,
        for organs that slide.
    callback : callable, optional
        Called with every :class:`learngn.optimise.Iteration`, to show progress.
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
    request = Request(features, preset, settings, changes, device)
    trained = model_of(model)
    with clock.stage("read"):
        label_maps = request.label_maps(trained)
        fixed_image, moving_image = (as_image(image, labels=bool(label_maps)) for image in (fixed, moving))
        pair = RegistrationPair(
            Side.of(fixed_image, "fixed", fixed_mask),
            Side.of(moving_image, "moving", moving_mask),
            landmarks,
            read_tissue(tissue, fixed_image.grid),
        )
        pair = pair.recognised() if label_maps is None else pair
    return register_pair(pair, request, model=trained, callback=callback, clock=clock)


def register_pair(
    pair: RegistrationPair,
    request: Request,
    *,
    model: Model | None = None,
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
    resolved = resolve(request, pair if model is None else there, model)
    log_choice(pair, resolved)
    if begins is not None:
        begins(resolved.settings)
    prepared = prepare(there, resolved, store=store, clock=clock)
    return prepared.register(model=model, callback=callback, resampling=resampling).of_pair(pair)


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
