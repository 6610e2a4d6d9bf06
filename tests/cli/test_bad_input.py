"""What a user can mend is one line and status 2, and nothing is left behind."""

import json
import shutil

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.model import Model, ModelConfig, write_model
from learngn.settings import Settings


def write_small_model(folder, ndim=3):
    settings = Settings(features="intensity", affine=False, strides=(4, 2), iterations=(1, 1), lam=(0.3, 0.05))
    write_model(Model(ModelConfig(ndim=ndim, settings=settings, spacing=2.0, channels=1)), folder / "model")
    return folder / "model"


def save(array, path, spacing=2.0, origin=None):
    Image.from_array(array.astype(np.float32), Grid.from_spacing(array.shape, spacing, origin)).save(path)
    return path


def missing(scans, folder):
    return {"fixed": folder / "nothing.nii.gz"}, (), "no such file"


def not_an_image(scans, folder):
    (folder / "text.nii.gz").write_text("I am no image.")
    return {"moving": folder / "text.nii.gz"}, (), "text.nii.gz"


def empty_file(scans, folder):
    (folder / "empty.nii.gz").touch()
    return {"moving": folder / "empty.nii.gz"}, (), "empty"


def constant(scans, folder):
    return {"fixed": save(np.zeros((24, 20, 16)), folder / "zero.nii.gz")}, (), "constant"


def not_finite(scans, folder):
    array = np.arange(24.0 * 20 * 16).reshape(24, 20, 16)
    array[3, 4, 5] = np.nan
    return {"moving": save(array, folder / "nan.nii.gz")}, (), "NaN"


def plane_against_volume(scans, folder):
    return {"moving": save(np.arange(480.0).reshape(24, 20), folder / "plane.nii.gz")}, (), "2D"


def no_overlap(scans, folder):
    array = np.arange(24.0 * 20 * 16).reshape(24, 20, 16)
    return {"moving": save(array, folder / "far.nii.gz", origin=(900, 0, 0))}, ("--no-affine",), "no overlap"


def labels_of_another_size(scans, folder):
    grid = Grid.from_spacing((12, 20, 16), 2.0)
    Image.from_array(np.ones(grid.shape, dtype=np.uint8), grid, labels=True).save(folder / "small.nii.gz")
    labels = ("--fixed-labels", folder / "small.nii.gz", "--moving-labels", scans["moving_labels"])
    return {}, labels, "12x20x16"


def labels_that_are_a_scan(scans, folder):
    return {}, ("--fixed-labels", scans["fixed"]), "whole numbers"


def unknown_feature(scans, folder):
    return {}, ("--features", "mindd"), "distance, edges, intensity, labels, local-intensity"


def mixed_features(scans, folder):
    return {}, ("--features", "mind,distance"), "one kind"


def wrong_landmarks(scans, folder):
    (folder / "words.csv").write_text("i,j,k\n1,2,three\n")
    return {}, ("--fixed-landmarks", folder / "words.csv", "--moving-landmarks", scans["moving_landmarks"]), "line 2"


def landmarks_that_do_not_correspond(scans, folder):
    (folder / "one.csv").write_text("1,2,3\n")
    return {}, ("--fixed-landmarks", folder / "one.csv", "--moving-landmarks", scans["moving_landmarks"]), "1 and 2"


def strides_that_rise(scans, folder):
    return {}, ("--strides", "2,4"), "coarse to fine"


def words_for_numbers(scans, folder):
    return {}, ("--iterations", "many"), "--iterations"


def three_lambdas(scans, folder):
    return {}, ("--lambda", "3,2,1"), "--lambda"


def unknown_update(scans, folder):
    return {}, ("--update", "magic"), "compositional"


def model_that_is_not_there(scans, folder):
    return {}, ("--model", folder / "nothing"), "model.json"


def model_with_truncated_weights(scans, folder):
    model = write_small_model(folder)
    content = (model / "weights.safetensors").read_bytes()
    (model / "weights.safetensors").write_bytes(content[: len(content) // 2])
    return {}, ("--model", model), "weights.safetensors"


def model_of_another_version(scans, folder):
    model = write_small_model(folder)
    description = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(description | {"format": 99}))
    return {}, ("--model", model), "format 99"


def model_for_planes(scans, folder):
    return {}, ("--model", write_small_model(folder, ndim=2)), "2D"


def model_and_features(scans, folder):
    return (
        {},
        ("--model", write_small_model(folder), "--features", "mind"),
        "--features: got mind, expected what the model has learned",
    )


def model_and_its_schedule(scans, folder):
    options = ("--strides", "4,2", "--lambda", "3", "--update", "additive")
    return (
        {},
        ("--model", write_small_model(folder), *options),
        "--strides: got (4.0, 2.0), expected what the model has learned",
    )


CASES = [
    missing,
    not_an_image,
    empty_file,
    constant,
    not_finite,
    plane_against_volume,
    no_overlap,
    labels_of_another_size,
    labels_that_are_a_scan,
    unknown_feature,
    mixed_features,
    wrong_landmarks,
    landmarks_that_do_not_correspond,
    strides_that_rise,
    words_for_numbers,
    three_lambdas,
    unknown_update,
    model_that_is_not_there,
    model_with_truncated_weights,
    model_of_another_version,
    model_for_planes,
    model_and_features,
    model_and_its_schedule,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_register(case, learngn, scans, tmp_path):
    files, options, told = case(scans, tmp_path)
    paths = {"fixed": scans["fixed"], "moving": scans["moving"]} | files
    result = learngn("register", paths["fixed"], paths["moving"], "-o", tmp_path / "out", *options)
    assert_one_line(result, told)
    assert not (tmp_path / "out").exists()


def assert_one_line(result, told):
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr


def test_folder_that_cannot_be_written(learngn, scans, tmp_path):
    (tmp_path / "file").touch()
    result = learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "file" / "out")
    assert_one_line(result, "output")


def test_output_over_an_input(learngn, scans, tmp_path):
    moving = tmp_path / "warped.nii.gz"
    scans["moving"].rename(moving)
    before = moving.read_bytes()
    assert_one_line(learngn("register", scans["fixed"], moving, "-o", tmp_path), "warped.nii.gz")
    assert moving.read_bytes() == before


def test_an_older_result_survives_a_failure(learngn, scans, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.json").write_text("{}")
    learngn("register", scans["fixed"], tmp_path / "nothing.nii.gz", "-o", out)
    assert (out / "metrics.json").read_text() == "{}"


@pytest.mark.parametrize(
    "stage",
    ["workflow.one_pair.register_pair", "workflow.result.metrics_of", "workflow.result.page_of_registration"],
)
def test_interrupt_leaves_nothing(stage, learngn, scans, tmp_path, fast, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"learngn.{stage}", interrupt)
    result = learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out", *fast)
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"
    assert not (tmp_path / "out").exists()


def test_disk_error(learngn, scans, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "/secret/scan.nii.gz")

    monkeypatch.setattr("learngn.workflow.one_pair.register_pair", refuse)
    assert_one_line(learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out"), "/secret/scan.nii.gz")


def test_bug_is_not_hidden(learngn, scans, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("learngn.workflow.one_pair.register_pair", fail)
    with pytest.raises(ZeroDivisionError):
        learngn("register", scans["fixed"], scans["moving"], "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def one_subject(root, description, config):
    description["training"] = description["training"][:1]
    return "got 1 training subjects, expected 3 at least"


def missing_labels(root, description, config):
    (root / "labelsTr" / "Toy_0003_0000.nii.gz").unlink()
    return "labels of Toy_0003_0000.nii.gz: got no file"


def missing_scan(root, description, config):
    (root / "imagesTr" / "Toy_0003_0000.nii.gz").unlink()
    return "Toy_0003_0000.nii.gz"


def unknown_key(root, description, config):
    config.write_text("colour = 3\n")
    return "unknown key colour"


def wrong_type(root, description, config):
    config.write_text("steps = 'many'\n")
    return "steps: 'many'"


def missing_config(root, description, config):
    config.unlink()
    return "config.toml"


def unknown_feature_to_learn(root, description, config):
    config.write_text("features = 'mindd'\n")
    return "'mindd'"


def levels_and_counts_that_differ(root, description, config):
    config.write_text("features = 'distance'\nstrides = [4, 2]\niterations = [1]\n")
    return "schedule"


TRAININGS = [
    one_subject,
    missing_labels,
    missing_scan,
    unknown_key,
    wrong_type,
    missing_config,
    unknown_feature_to_learn,
    levels_and_counts_that_differ,
]


@pytest.mark.parametrize("case", TRAININGS, ids=lambda case: case.__name__)
def test_train(case, learngn, abdomen_files, tmp_path):
    root, config = tmp_path / "data", tmp_path / "config.toml"
    shutil.copytree(abdomen_files.parent, root)
    config.write_text("features = 'distance'\n")
    description = json.loads(abdomen_files.read_text())
    told = case(root, description, config)
    (root / abdomen_files.name).write_text(json.dumps(description))
    result = learngn("train", root / abdomen_files.name, "-o", tmp_path / "model", "-c", config, "--accelerator", "cpu")
    assert_one_line(result, told)
    assert not (tmp_path / "model").exists()


def test_devices_that_are_not_there(learngn, abdomen_files, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = learngn("train", abdomen_files, "-o", tmp_path / "model", "--accelerator", "cuda")
    assert_one_line(result, "--accelerator")
    assert_one_line(learngn("train", abdomen_files, "-o", tmp_path / "m", "--accelerator", "abacus"), "abacus")
