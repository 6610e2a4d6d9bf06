"""Settings are decided in one place: whoever asks, the same pair gets the same ones."""

import json

import numpy as np
import pytest

import learngn
from learngn.cli import app
from learngn.cohort import read_records, run_cohort
from learngn.errors import SettingsError
from learngn.features.combined import FEATURES
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.io import read_dataset
from learngn.registration import RegistrationPair, Request, Side, recognise, register_pair, resolve
from learngn.settings import PRESETS, Settings

LABELLED = ("distance", "organ-distance", "labels")
REQUESTS = [
    {},
    *({"preset": name} for name in PRESETS),
    *({"features": name} for name in sorted(FEATURES)),
    {"features": "mind", "affine": "rigid", "symmetric": True},
    {"preset": "thorax-ct", "lam": (2.0, 0.5), "memory": "60GB"},
]


class Decided(Exception):
    """Ends a registration when its settings are known."""


def scan(seed, labels=False):
    """A ball of soft tissue with a lung in air, in Hounsfield units; or its label map."""
    shape = (24, 22, 20)
    away = np.indices(shape) - np.reshape([11.5 + seed, 10.5, 9.5], (3, 1, 1, 1))
    radius = np.sqrt((away**2).sum(0))
    grid = Grid.from_spacing(shape, 6.0)
    if labels:
        return Image.from_array(np.digitize(-radius, (-8, -4)).astype(np.uint8), grid, labels=True)
    noise = np.random.default_rng(seed).normal(0, 10, shape)
    tissue = np.where(radius < 6, -800, np.where(radius < 8, 50, -1000))
    return Image.from_array((tissue + noise).astype(np.float32), grid)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two data sets of one pair, of scans and of label maps: the descriptions."""
    found = {}
    for kind in (False, True):
        root = tmp_path_factory.mktemp("labels" if kind else "scans")
        names = []
        for number in (1, 2):
            name = f"imagesTr/Toy_{number:04d}_0000.nii.gz"
            (root / name).parent.mkdir(exist_ok=True)
            scan(number, labels=kind).save(root / name)
            names.append(f"./{name}")
        description = {"name": "Toy", "registration_val": [{"fixed": names[0], "moving": names[1]}], "labels": {}}
        (root / "Toy_dataset.json").write_text(json.dumps(description))
        found[kind] = root / "Toy_dataset.json"
    return found


@pytest.fixture
def decided(monkeypatch):
    """Settings of every registration that begins; none of them goes on."""
    seen = []

    def stop(pair, request, *, model=None, **_):
        seen.append(resolve(request, pair, model).settings)
        raise Decided

    for place in ("learngn.registration.pipeline", "learngn.workflow.one_pair", "learngn.cohort.pair"):
        monkeypatch.setattr(f"{place}.register_pair", stop)
    return seen


def options(asked):
    """Options of a command that ask for the same."""
    texts = {"lam": "--lambda"}
    for name, value in asked.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield from ([f"--{name}"] if value is True else [texts.get(name, f"--{name}"), text])


@pytest.mark.parametrize("asked", REQUESTS, ids=str)
def test_the_same_settings_for_all(asked, folders, decided, tmp_path):
    from typer.testing import CliRunner

    labels = asked.get("features") in LABELLED or asked.get("preset") == "label-maps"
    dataset = folders[labels]
    pair = read_dataset(dataset).validation[0]
    with pytest.raises(Decided):
        learngn.register(pair.fixed.image, pair.moving.image, **asked)
    for command in (
        ["register", pair.fixed.image, pair.moving.image, "-o", tmp_path / "one"],
        ["cohort", dataset, "-o", tmp_path / "many", "--retries", "0", "--no-report"],
    ):
        CliRunner().invoke(app, [*map(str, command), *options(asked)])
    named = {"features", "preset"}
    request = Request(
        **{name: asked.get(name) for name in named}, changes={k: v for k, v in asked.items() if k not in named}
    )
    run_cohort([pair], tmp_path / "direct", request)
    assert len(decided) == 4
    assert decided[1:] == decided[:1] * 3


def test_records_say_how_every_pair_was_registered(folders, tmp_path):
    pair = read_dataset(folders[False]).validation[0]
    request = Request(changes={"strides": (4.0,), "iterations": (1,)})
    run_cohort([pair], tmp_path, request)
    record = read_records(tmp_path)[pair.id]
    assert record["preset"]["name"] == "thorax-ct"
    assert record["settings"]["strides"] == [4.0]
    assert record["asked"] == {"strides": [4.0], "iterations": [1]}


def test_what_is_asked_for_is_checked_before_a_pair_is_read():
    for wrong in (
        {"preset": "head"},
        {"changes": {"update": "magic"}},
        {"changes": {"colour": 1}},
        {"changes": {"memory": "much"}},
        {"changes": {"strides": (2, 4)}},
        {"preset": "2d", "settings": Settings("mind", affine=True)},
    ):
        with pytest.raises(SettingsError):
            Request(**wrong)


def test_iterations_counted_for_the_whole_schedule():
    """The coarsest level of this small grid goes, and its iterations with it."""
    pair = RegistrationPair(Side.of(scan(1), "fixed"), Side.of(scan(2), "moving"))
    whole = PRESETS["thorax-ct"].settings
    settings = resolve(Request(preset="thorax-ct", changes={"iterations": (9, 8, 7, 6, 5)}), pair).settings
    assert len(settings.strides) < len(whole.strides)
    assert settings.iterations == (9, 8, 7, 6, 5)[len(whole.strides) - len(settings.strides) :]


def test_the_recognised_preset_is_told():
    fixed, moving = scan(1), scan(2)
    pair = RegistrationPair(Side.of(fixed, "fixed"), Side.of(moving, "moving"))
    resolved = resolve(Request(), pair)
    assert resolved.recognised == recognise(fixed, moving)
    assert resolve(Request(preset=resolved.recognised.preset.name), pair).settings == resolved.settings


def test_progress_knows_the_settings():
    pair, begun = RegistrationPair(Side.of(scan(1), "fixed"), Side.of(scan(2), "moving")), []
    request = Request(changes={"strides": (4.0,), "iterations": (1,), "affine": "none"})
    result = register_pair(pair, request, begins=begun.append)
    assert begun == [result.settings]
