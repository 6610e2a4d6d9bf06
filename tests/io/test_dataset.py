"""Descriptions of data sets: what is there is found, what is missing is said."""

import json

import pytest
import SimpleITK as sitk

from learngn.errors import DatasetError
from learngn.io import read_dataset


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".csv":
            path.write_text("1,2,3\n")
        else:
            sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkUInt8), path)


def describe(root, **entries):
    path = root / "Toy_dataset.json"
    path.write_text(json.dumps({"name": "Toy", "registration_val": [], **entries}))
    return path


def scan(subject, modality="0000", folder="imagesTr", suffix=".nii.gz"):
    return f"./{folder}/Toy_{subject}_{modality}{suffix}"


def test_everything_is_found(tmp_path):
    touch(tmp_path, *(scan(s) for s in ("0001", "0002", "0003", "0004")))
    touch(tmp_path, scan("0001", folder="labelsTr"), scan("0002", folder="labelsTr"), scan("0003", folder="labelsTr"))
    touch(
        tmp_path, scan("0001", folder="landmarksTr", suffix=".csv"), scan("0002", folder="keypointsTr", suffix=".csv")
    )
    touch(tmp_path, scan("0001", folder="keypointsTr", suffix=".csv"), scan("0002", folder="masksTr"))
    path = describe(
        tmp_path,
        labels={"0": "background", "1": "liver", "13": "left_kidney"},
        training=[
            {"image": scan("0003"), "label": "the rule finds it"},
            {"image": scan("0004")},
        ],
        registration_val=[{"fixed": scan("0001"), "moving": scan("0002")}],
    )
    dataset = read_dataset(path)
    assert (dataset.name, dataset.root, dataset.ndim) == ("Toy", tmp_path, 3)
    assert dataset.label_names == {1: "liver", 13: "left_kidney"}
    assert [s.image.name for s in dataset.training] == ["Toy_0003_0000.nii.gz", "Toy_0004_0000.nii.gz"]
    assert [s.labels for s in dataset.training] == [tmp_path / scan("0003", folder="labelsTr"), None]
    (pair,) = dataset.validation
    assert pair.id == "0001_0002"
    assert pair.field_name == "disp_0001_0002.nii.gz"
    assert pair.fixed.image == tmp_path / "imagesTr/Toy_0001_0000.nii.gz"
    assert pair.moving.labels == tmp_path / "labelsTr/Toy_0002_0000.nii.gz"
    assert pair.fixed.landmarks == tmp_path / "landmarksTr/Toy_0001_0000.csv"
    assert pair.moving.landmarks == tmp_path / "keypointsTr/Toy_0002_0000.csv"
    assert pair.fixed.mask is None
    assert pair.moving.mask == tmp_path / "masksTr/Toy_0002_0000.nii.gz"


def test_a_minimal_description(tmp_path):
    touch(tmp_path, scan("0001"), scan("0002"))
    dataset = read_dataset(describe(tmp_path, registration_val=[{"fixed": scan("0001"), "moving": scan("0002")}]))
    assert dataset.training == ()
    assert dataset.label_names == {}
    assert dataset.validation[0].fixed.labels is None


def test_subjects_of_validation_pairs_are_not_trained_with(tmp_path):
    touch(tmp_path, *(scan(s) for s in ("0001", "0002", "0003")), scan("0001", "0001"))
    path = describe(
        tmp_path,
        training=[{"image": scan(s)} for s in ("0001", "0002", "0003")] + [{"image": scan("0001", "0001")}],
        registration_val=[{"fixed": scan("0001"), "moving": scan("0003")}],
    )
    assert [s.image.name for s in read_dataset(path).training] == ["Toy_0002_0000.nii.gz"]


@pytest.mark.parametrize(
    ("fixed", "moving", "name"),
    [
        (("0001", "0000"), ("0002", "0000"), "disp_0001_0002"),
        (("0001", "0001"), ("0002", "0001"), "disp_0001_0002"),
        (("0001", "0000"), ("0001", "0001"), "disp_0001_0001"),
        (("0001", "0001"), ("0001", "0000"), "disp_0001_0001_0001_0000"),
        (("0001", "0000"), ("0002", "0002"), "disp_0001_0000_0002_0002"),
    ],
)
def test_names_of_fields(fixed, moving, name, tmp_path):
    touch(tmp_path, scan(*fixed), scan(*moving))
    path = describe(tmp_path, registration_val=[{"fixed": scan(*fixed), "moving": scan(*moving)}])
    assert read_dataset(path).validation[0].field_name == f"{name}.nii.gz"


def published(root, *, test_scans=False):
    """The layout of ThoraxCBCT as it is downloaded: one CT and two later scans a patient, key points for each pair."""
    patients = ("0000", "0001", "0011")
    touch(root, *(scan(patient, modality) for patient in patients for modality in ("0000", "0001", "0002")))
    for later in ("0001", "0002"):
        folder = f"keypoints0{int(later)}Tr"
        touch(root, *(scan("0000", modality, folder, ".csv") for modality in ("0000", later)))
    if test_scans:
        touch(root, scan("0020", "0001", "imagesTs"), scan("0020", "0000", "imagesTs"))
    return describe(
        root,
        registration_direction={"fixed": 1, "moving": 0},
        labels={},
        tensorImageShape={"0": [4, 5, 6]},
        numTraining=9,
        training=[
            {"image": scan(patient, modality), "keypoints01": scan(patient, modality, "keypoints01Tr")}
            for patient in patients
            for modality in ("0000", "0001", "0002")
        ],
        test=[],
        numPairedTraining=4,
        training_paired_images=[
            {"fixed": scan(patient, later), "moving": scan(patient, "0000")}
            for later in ("0001", "0002")
            for patient in patients
        ],
        test_paired_images=[],
        registration_val=[{"fixed": scan("0011", later), "moving": scan("0011")} for later in ("0001", "0002")],
        registration_test=[{"fixed": scan("0020", "0001", "imagesTs"), "moving": scan("0020", "0000", "imagesTs")}],
    )


def test_a_data_set_as_it_is_downloaded(tmp_path):
    dataset = read_dataset(published(tmp_path))
    assert [pair.field_name for pair in dataset.validation] == [
        "disp_0011_0001_0011_0000.nii.gz",
        "disp_0011_0002_0011_0000.nii.gz",
    ]
    # Patient 11 is in the list of training pairs too, and is not trained with.
    assert [pair.id for pair in dataset.training_pairs] == [
        "0000_0001_0000_0000",
        "0001_0001_0001_0000",
        "0000_0002_0000_0000",
        "0001_0002_0001_0000",
    ]
    first, _, third, fourth = dataset.training_pairs
    assert first.moving.keypoints == tmp_path / scan("0000", "0000", "keypoints01Tr", ".csv")
    assert third.moving.keypoints == tmp_path / scan("0000", "0000", "keypoints02Tr", ".csv")
    assert third.fixed.landmarks == tmp_path / scan("0000", "0002", "keypoints02Tr", ".csv")
    assert fourth.moving.keypoints is None
    assert dataset.label_names == {}
    assert dataset.test == ()  # their scans are the organisers'


def test_test_pairs(tmp_path):
    dataset = read_dataset(published(tmp_path, test_scans=True))
    assert [pair.id for pair in dataset.test] == ["0020_0001_0020_0000"]
    (tmp_path / scan("0020", "0000", "imagesTs")).unlink()
    with pytest.raises(DatasetError, match="imagesTs"):  # a download that broke off
        read_dataset(tmp_path)


def test_pairs_by_modality(tmp_path):
    touch(tmp_path, *(scan(s, m) for s in ("0001", "0002") for m in ("0000", "0001")))
    path = describe(
        tmp_path,
        training_paired_images=[{"0": scan("0002"), "1": scan("0002", "0001")}],
        registration_val=[{"fixed": scan("0001"), "moving": scan("0001", "0001")}],
    )
    (pair,) = read_dataset(path).training_pairs
    assert (pair.fixed.image.name, pair.moving.image.name) == ("Toy_0002_0000.nii.gz", "Toy_0002_0001.nii.gz")


def test_label_names_by_modality(tmp_path):
    touch(tmp_path, scan("0001"))
    path = describe(tmp_path, labels={"0": {"0": "background", "1": "liver"}}, training=[{"image": scan("0001")}])
    assert read_dataset(path).label_names == {1: "liver"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "a list"),
        ("{}", "no 'name'"),
        ('{"name": "Toy"}', "no 'registration_val'"),
        ('{"name": "Toy", "registration_val": {}}', "'registration_val'"),
        ('{"name": "Toy", "registration_val": []}', "no pair"),
        ('{"name": "Toy", "registration_val": ["a"]}', "no 'fixed'"),
        ('{"name": "Toy", "registration_val": [{"fixed": 1, "moving": 2}]}', "'fixed': 1"),
        ('{"name": "Toy", "registration_val": [], "training": {}}', "'training'"),
        ('{"name": "Toy", "registration_val": [], "training": [{"image": "./a.nii.gz"}]}', "no file"),
        ('{"name": "Toy", "registration_val": [{"fixed": "Toy_dataset.json", "moving": "b.nii"}]}', "without numbers"),
    ],
)
def test_wrong_descriptions(text, message, tmp_path):
    (tmp_path / "Toy_dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path / "Toy_dataset.json")


def test_a_wrong_table_of_labels(tmp_path):
    touch(tmp_path, scan("0001"))
    with pytest.raises(DatasetError, match="labels"):
        read_dataset(describe(tmp_path, labels={"liver": 1}, training=[{"image": scan("0001")}]))


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(DatasetError, match="NAME_dataset"):
            read_dataset(path)


def test_the_folder_will_do(tmp_path):
    touch(tmp_path, scan("0001"))
    describe(tmp_path, training=[{"image": scan("0001")}])
    assert len(read_dataset(tmp_path).training) == 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "ndim", "training", "pairs", "labels"),
    [("AbdomenSeg", 3, 20, 45, 13), ("AbdomenCoronal2D", 2, 24, 15, 7), ("ThoraxCT", 3, 5, 15, 6)],
)
def test_real_data_sets(name, ndim, training, pairs, labels, data_root):
    dataset = read_dataset(data_root / name / f"{name}_dataset.json")
    assert (dataset.ndim, len(dataset.training), len(dataset.validation)) == (ndim, training, pairs)
    assert len(dataset.label_names) == labels
    assert all(pair.fixed.labels and pair.moving.labels for pair in dataset.validation)
    assert all(subject.labels for subject in dataset.training)
