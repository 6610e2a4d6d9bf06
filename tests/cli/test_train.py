"""learngn train, and the commands that use what it leaves."""

import json
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from learngn.learning import trainer
from learngn.model import read_description, read_model

QUICK = """
steps = 4
strides = [4, 2]
iterations = [2, 1]
validation = 2
validate_every = 2
checkpoint_every = 1
batch = 1
lam_factors = []

[network]
width = 4
depth = 1
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(QUICK)
    return path


@pytest.fixture
def train(learngn, abdomen_files, config, tmp_path):
    """Run the command with a configuration that takes a moment, on one thread."""

    def run(*options):
        options = ("--config", config, "--features", "distance", "--accelerator", "cpu", "--threads", "1", *options)
        return learngn("train", abdomen_files, "-o", tmp_path / "model", *options)

    return run


@pytest.mark.slow
def test_model_from_a_data_set(train, learngn, abdomen_files, tmp_path, files_in):
    out = tmp_path / "model"
    result = train()
    assert result.exit_code == 0, result.stderr
    names = files_in(out)
    assert names[0] == "checkpoint.pt"
    assert names[-2:] == ["model.json", "weights.safetensors"]
    assert len(names) == 4  # and the log
    assert names[1].startswith("log/events.out.tfevents")
    assert "validation Dice 0." in result.stdout
    assert f"learngn register FIXED MOVING -o DIR --model {out}" in result.stdout
    said = [line.split(":")[0] for line in result.stderr.splitlines()]
    assert said[0].startswith("draws any two of 4 subjects")
    assert said[1:] == ["step 2", "step 3", "step 4"]  # 3: before the first whole step
    settings = read_description(out)[0].settings
    assert (settings.features, settings.strides) == ("distance", (4.0, 2.0))

    root = abdomen_files.parent / "imagesTr"
    pair = root / "Toy_0006_0000.nii.gz", root / "Toy_0007_0000.nii.gz"
    metrics = json.loads(learngn("register", *pair, "-o", tmp_path / "out", "--model", out, "--json").stdout)
    assert metrics["settings"]["features"] == "distance"
    assert metrics["settings"]["strides"] == [4.0, 2.0]
    assert len(metrics["history"]) > 0
    assert 0 < metrics["dice_mean"] < 1  # after four steps it is no good yet


def test_json_and_quiet(train, tmp_path):
    result = train("--json", "--quiet")
    found = json.loads(result.stdout)
    assert found["model"] == str(tmp_path / "model")
    assert found["step"] in (2, 4)
    assert 0 < found["dice"] < 1
    assert found["tre"] is None
    assert result.stderr == ""


def test_options_come_before_the_file(train, tmp_path):
    assert train("--steps", "2", "--seed", "5", "--quiet").exit_code == 0
    found = read_description(tmp_path / "model")[1].training["config"]
    assert (found["steps"], found["seed"], found["strides"]) == (2, 5, [4.0, 2.0])


@pytest.mark.slow
def test_interrupted_and_gone_on(train, tmp_path, monkeypatch):
    forward, calls = trainer.TrainingStep.forward, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return forward(self, *arguments)

    monkeypatch.setattr(trainer.TrainingStep, "forward", interrupted)
    result = train()
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "interrupted"
    assert read_model(tmp_path / "model")  # the best so far is there to use
    result = train()
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.stderr.splitlines()][1:] == ["step 3", "step 4"]
    assert len(calls) == 5


def test_whole_configuration(train, learngn, abdomen_files, tmp_path):
    """What --show-config prints is a configuration file, and says the same when it is read."""
    shown = train("--show-config", "--steps", "3")
    found = json.loads(shown.stdout)
    assert (found["features"], found["steps"], found["iterations"]) == ("distance", 3, [2, 1])
    assert (found["network"]["width"], found["network"]["out_channels"]) == (
        4,
        None,
    )  # one an organ, once they are known
    assert not (tmp_path / "model").exists()
    (tmp_path / "again.json").write_text(shown.stdout)
    again = learngn("train", abdomen_files, "-o", tmp_path / "model", "-c", tmp_path / "again.json", "--show-config")
    assert again.stdout == shown.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes(abdomen_files, config, tmp_path):
    """As torchrun starts them, on two CPUs: one model, the same as every process has it."""
    out = tmp_path / "model"
    program = Path(sysconfig.get_path("scripts")) / "learngn"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"),
        *("--master-addr", "127.0.0.1", "--master-port", free_port()),
        *(program, "train", abdomen_files, "-o", out, "--config", config, "--features", "distance"),
        *("--accelerator", "cpu", "--threads", "1", "--json"),
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert found["step"] in (2, 4)
    assert done.stderr.count("step 4: Dice") == 1
    assert read_description(out)[1].training["validation"]["dice"] == found["dice"]
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4
    kept = read_model(out).state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in state["best"]["weights"].items())


class TestModelOption:
    def test_register(self, learngn, scans, model, tmp_path):
        out = tmp_path / "out"
        arguments = (scans["fixed"], scans["moving"], "-o", out, "--model", model, "--no-report", "--json")
        metrics = json.loads(learngn("register", *arguments).stdout)
        assert metrics["settings"]["features"] == "intensity"
        assert metrics["settings"]["lam"] == [0.3, 0.05]
        assert {step["level"] for step in metrics["history"]} == {0, 1}
        other = tmp_path / "other"
        plain = ("--features", "intensity", "--no-affine", "--strides", "4,2", "--iterations", "3,3")
        arguments = (scans["fixed"], scans["moving"], "-o", other, "--no-report", "--json", "--lambda", "0.3,0.05")
        without = json.loads(learngn("register", *arguments, *plain).stdout)
        assert without["settings"] == {**metrics["settings"], "robust": "huber:0.5"}  # the preset's, of small MR
        assert without["history"][0]["energy"] != metrics["history"][0]["energy"]  # what was learned counts

    def test_iterations_and_affine_may_differ(self, learngn, scans, model, tmp_path):
        arguments = (scans["fixed"], scans["moving"], "-o", tmp_path / "out", "--model", model, "--no-report", "--json")
        metrics = json.loads(learngn("register", *arguments, "--iterations", "1,0", "--affine", "affine").stdout)
        assert metrics["settings"]["iterations"] == [1, 0]
        assert len(metrics["history"]) == 1
        assert metrics["affine_start"] != "none"

    def test_cohort(self, learngn, dataset, model, tmp_path):
        out = tmp_path / "out"
        result = learngn("cohort", dataset, "-o", out, "--model", model, "--limit", "2", "--json")
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        assert found["pairs_scored"] == 2
        assert all(pair["dice_mean"] > pair["dice_mean_before"] for pair in found["pairs"])
        again = learngn("cohort", dataset, "-o", out, "--model", model, "--limit", "2", "--json")
        assert json.loads(again.stdout)["pairs"] == found["pairs"]

    def test_cohort_keeps_models_apart(self, learngn, dataset, model, tmp_path):
        out = tmp_path / "out"
        assert learngn("cohort", dataset, "-o", out, "--model", model, "--limit", "1", "--quiet").exit_code == 0
        options = ("--features", "intensity", "--no-affine", "--strides", "4,2", "--iterations", "3,3")
        plain = learngn("cohort", dataset, "-o", out, "--limit", "1", *options, "--lambda", "0.3,0.05")
        assert plain.exit_code == 2
        assert plain.stderr.count("\n") == 1
        other = read_model(model)
        with torch.no_grad():
            other.method.log_lam += 1
        from learngn.model import write_model

        write_model(other, tmp_path / "other")
        refused = learngn("cohort", dataset, "-o", out, "--model", tmp_path / "other", "--limit", "1")
        assert refused.exit_code == 2
        assert "another output folder" in refused.stderr

    def test_info(self, learngn, model):
        found = json.loads(learngn("info", model, "--json").stdout)
        assert found["features"] == "intensity"
        assert found["dimension"] == 3
        assert found["lineariser"] == "corrected"
        assert found["network"] == "none"
        assert found["dataset"] == "Toy"
        assert found["step"] == 7
        assert found["validation dice"] == 0.5
        assert found["weights"] == sum(tensor.numel() for tensor in read_model(model).state_dict().values())
        assert "features        intensity" in learngn("info", model).stdout
