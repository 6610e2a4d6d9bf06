"""Labels carried over: from several atlases to a target, and how well."""

import json
from dataclasses import replace

import pytest

from learngn.atlas import propagate, propagation
from learngn.atlas.trust import trusted
from learngn.errors import DatasetError, LabelError, SettingsError
from learngn.io import Subject, read_image
from learngn.phantom import abdomens
from learngn.registration import Request
from learngn.settings import Settings


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """Five synthetic abdomens, scans and labels."""
    root, found = tmp_path_factory.mktemp("subjects"), []
    for number, made in enumerate(abdomens(5, (48, 40, 32), seed=4), start=1):
        paths = [root / folder / f"Toy_{number:04d}_0000.nii.gz" for folder in ("imagesTr", "labelsTr")]
        for path, image in zip(paths, (made.scan, made.labels), strict=True):
            path.parent.mkdir(exist_ok=True)
            image.save(path)
        found.append(Subject(*paths))
    return found


REQUEST = Request(
    settings=Settings("mind,intensity:10", affine=True, strides=(8, 4, 2), iterations=(6, 6, 6), lam=(3.0, 0.3))
)


@pytest.mark.slow
def test_voting_is_better_than_one_atlas(subjects, tmp_path):
    target, atlases = subjects[0], subjects[1:]
    alone = [
        propagate([target], [atlas], tmp_path / atlas.image.name[:8], REQUEST)[0]["dice_mean"] for atlas in atlases
    ]
    voted = {
        voting: propagate([target], atlases, tmp_path / "out", REQUEST, voting=voting)[0]
        for voting in ("majority", "joint")
    }
    assert voted["joint"]["dice_mean"] > voted["majority"]["dice_mean"] > max(alone)
    assert voted["joint"]["atlases"] == 4
    report = json.loads((tmp_path / "out" / "propagation.json").read_text())
    assert (report["voting"], report["targets"]) == ("joint", [voted["joint"]])
    fused = read_image(tmp_path / "out" / target.image.name, labels=True)
    assert fused.grid.same_space(read_image(target.image).grid)


def test_atlas_that_is_the_target(subjects, tmp_path):
    """Its own scan under another name: labels come back as they are."""
    copy = Subject(*(path.parent / "Toy_0009_0000.nii.gz" for path in (subjects[0].image, subjects[0].labels)))
    for source, path in ((subjects[0].image, copy.image), (subjects[0].labels, copy.labels)):
        path.write_bytes(source.read_bytes())
    found = propagate([replace(subjects[0])], [copy], tmp_path, REQUEST)
    assert found[0]["dice_mean"] > 0.99


def test_target_without_labels_and_broken_ones(subjects, tmp_path):
    broken = Subject(tmp_path / "Toy_0008_0000.nii.gz", subjects[1].labels)
    broken.image.write_text("no scan")
    unknown = Subject(subjects[0].image)
    found = propagate([unknown, broken], subjects[2:4], tmp_path / "out", REQUEST, voting="majority")
    assert {"target": unknown.image.name, "atlases": 2}.items() <= found[0].items()
    assert "none that could be registered" in found[1]["error"]
    found = propagate([unknown], [broken, subjects[2]], tmp_path / "other", REQUEST, voting="majority")
    assert found[0]["atlases"] == 1


def test_bad_wishes(subjects, tmp_path):
    for targets, atlases in (([], subjects[1:]), (subjects[:1], []), (subjects[:1], subjects)):
        with pytest.raises(DatasetError, match="none in both"):
            propagate(targets, atlases, tmp_path, REQUEST)
    with pytest.raises(LabelError, match="no label map"):
        propagate(subjects[:1], [Subject(subjects[1].image)], tmp_path, REQUEST)
    with pytest.raises(SettingsError, match="one of majority, joint"):
        propagate(subjects[:1], subjects[1:], tmp_path, REQUEST, voting="loud")


RECORDS = [
    {"verdict": "ok", "fit": {"doubt": 0.25}, "uncertainty": {"median": 2.0}},
    {"verdict": "check", "fit": {"doubt": 1.0}, "uncertainty": {"median": 1.0}},
    {"verdict": "failed", "fit": {"doubt": 3.0}, "uncertainty": {"median": 0.5}},
    {"error": "no scan"},
]


def test_trust_in_atlases():
    assert trusted(RECORDS) == {0: pytest.approx(0.4), 1: pytest.approx(0.5)}
    assert trusted(RECORDS[2:]) == {0: 0.25}  # nothing but failed ones
    assert trusted([{}, {"uncertainty": {"median": 0.0}}]) == {0: 1.0, 1: 1.0}  # neither judged nor estimated
    assert trusted([{"error": "no scan"}]) == {}


@pytest.fixture
def with_verdicts(monkeypatch):
    """Gives the registrations of a propagation the verdicts of :data:`RECORDS`."""

    def of(chosen):
        run = propagation.run_cohort

        def judged(*given, **others):
            return [{**record, **more} for record, more in zip(run(*given, **others), chosen, strict=False)]

        monkeypatch.setattr(propagation, "run_cohort", judged)

    return of


QUICK = Request(settings=Settings("intensity", affine=False, strides=(8,), iterations=(1,), lam=(3.0, 3.0)))


def test_failed_atlases_have_no_vote(subjects, tmp_path, with_verdicts):
    with_verdicts(RECORDS[:3])
    target, atlases = Subject(subjects[0].image), subjects[1:4]
    names = [atlas.image.name for atlas in atlases]
    [found] = propagate([target], atlases, tmp_path / "weighed", QUICK, voting="majority")
    assert found["atlases"] == 2
    assert found["left_out"] == [names[2]]
    assert found["trust"] == {names[0]: 0.4, names[1]: 0.5}
    [alike] = propagate([target], atlases, tmp_path / "alike", QUICK, voting="majority", weigh=False)
    assert alike == {"target": target.image.name, "atlases": 3}
    # Of two atlases, the one with more trust is followed wherever they differ.
    [second] = propagate([target], atlases[1:2], tmp_path / "second", QUICK, voting="majority", weigh=False)
    fused, alone, unweighed = (
        read_image(tmp_path / folder / target.image.name, labels=True).data for folder in ("weighed", "second", "alike")
    )
    assert second["atlases"] == 1
    assert (fused == alone).all()
    assert (fused != unweighed).any()


def test_if_all_have_failed_all_vote(subjects, tmp_path, with_verdicts):
    with_verdicts([RECORDS[2], RECORDS[2]])
    [found] = propagate([Subject(subjects[0].image)], subjects[1:3], tmp_path, QUICK, voting="majority")
    assert found == {"target": subjects[0].image.name, "atlases": 2, "all_failed": True}
