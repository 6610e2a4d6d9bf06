"""Several processes train as one does."""

import json
import os
import subprocess
import sys

import pytest
import torch

from learngn.learning.losses import LabelLoss
from learngn.model import read_model

CONFIG = {
    "features": "distance",
    "strides": [4, 2],
    "iterations": [2, 1],
    "network": {"width": 4, "depth": 1},
    "losses": {"labels": 1.0, "auxiliary": 1.0},
    "steps": 6,
    "pretraining": 0.5,
    "batch": 2,
    "warmup": 1,
    "validation": 2,
    "validation_pairs": 1,
    "validate_every": 6,
    "learn_lam": False,
}


@pytest.mark.slow
def test_two_processes_train_what_one_does(abdomen_files, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    weights = []
    for count in (1, 2):
        command = [sys.executable, "-m", "learngn", "train", abdomen_files, "-o", tmp_path / f"model{count}"]
        command += ["-c", tmp_path / "config.json", "--accelerator", "cpu", "--devices", str(count), "--threads", "1"]
        ended = subprocess.run(
            [str(part) for part in command], env=os.environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert ended.returncode == 0, ended.stderr
        weights.append(read_model(tmp_path / f"model{count}").state_dict())
    one, two = weights  # six steps of Adam move a weight by a hundredth
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=2e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_the_loss_of_labels_is_a_mean_of_samples():
    """Also where one scan lacks an organ."""
    torch.manual_seed(0)
    probabilities = torch.randn(2, 3, 6, 5).softmax(1)
    truth = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 6, 5)), 3).movedim(-1, 1).float()
    truth[1, 0] += truth[1, 2]
    truth[1, 2] = 0
    loss = LabelLoss()
    both = float(loss(probabilities, truth))
    single = [float(loss(probabilities[i : i + 1], truth[i : i + 1])) for i in range(2)]
    assert both == pytest.approx(sum(single) / 2, rel=1e-5)
