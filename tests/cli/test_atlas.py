"""learngn propagate and template: from a data set to label maps, scores and a mean."""

import io
import json

import pytest
from rich.console import Console

from learngn.cli.propagate import _tables
from learngn.io import read_image

FAST = ("--features", "intensity", "--strides", "8,4", "--iterations", "3,3", "--lambda", "0.3,0.1", "--threads", "1")


@pytest.mark.slow
def test_propagate(learngn, abdomen_files, tmp_path, files_in):
    out = tmp_path / "out"
    result = learngn("propagate", abdomen_files, "-o", out, "--atlases", "3", *FAST)
    assert result.exit_code == 0
    assert "2 of 2 scans labelled" in result.stdout
    assert "liver" in result.stdout
    names = [f"Toy_{number:04d}_0000.nii.gz" for number in (6, 7)]
    fields = [
        f"fields/disp_{target}_{atlas}.nii.gz" for target in ("0006", "0007") for atlas in ("0001", "0002", "0003")
    ]
    assert files_in(out) == sorted([*names, *fields, "fields/results.jsonl", "propagation.json"])
    report = json.loads((out / "propagation.json").read_text())
    assert report["voting"] == "joint"
    assert all(0.1 < entry["dice_mean"] < 1 for entry in report["targets"])

    # Another vote needs no new registration, and a target may be any scan.
    target = abdomen_files.parent / "imagesTr" / names[1]
    result = learngn(
        "propagate", abdomen_files, target, "-o", out, "--atlases", "3", "--voting", "majority", "--json", *FAST
    )
    assert [entry["target"] for entry in json.loads(result.stdout)] == names[1:]


def test_names_of_targets_and_labels_are_whole():
    """However many labels there are: a terminal of 80 columns shows them."""
    scores = {str(label): 0.5 + label / 100 for label in range(1, 14)}
    results = [
        {"target": f"Phantoms_{n:04d}_0000.nii.gz", "atlases": 4, "dice": {**scores, "3": n / 10}, "dice_mean": 0.57}
        for n in (1, 2)
    ] + [{"target": "broken [x].nii.gz", "error": "lost"}]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(_tables(results, {label: f"organ number {label}" for label in range(1, 14)}))
    text = console.export_text()
    for name in ("Phantoms_0001_0000.nii.gz", "Phantoms_0002_0000.nii.gz", "broken [x].nii.gz", "13 organ number 13"):
        assert name in text
    [line] = [line for line in text.splitlines() if "3 organ number 3 " in line and "13" not in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "3 organ number 3",
        "0.150",
        "0.100",
        "Phantoms_0001_0000.nii.gz",
    ]


@pytest.mark.parametrize(("options", "asked"), [
    ((), {"weigh": True, "retry": False}),
    (("--no-weigh", "--retry"), {"weigh": False, "retry": True}),
])  # fmt: skip
def test_atlases_without_a_vote_are_named(learngn, abdomen_files, tmp_path, monkeypatch, options, asked):
    seen = []

    def propagated(*given, **others):
        seen.append(others)
        first = {"target": "a.nii.gz", "atlases": 1, "left_out": ["x.nii.gz", "y.nii.gz"]}
        return [first, {"target": "b.nii.gz", "atlases": 3, "all_failed": True}]

    monkeypatch.setattr("learngn.atlas.propagate", propagated)
    result = learngn("propagate", abdomen_files, "-o", tmp_path, *options, *FAST)
    assert result.exit_code == 0
    assert asked.items() <= seen[0].items()
    assert "warning: a.nii.gz: no vote for x.nii.gz, y.nii.gz, since the verdict on" in result.stderr
    assert "warning: b.nii.gz: the verdict on every atlas's registration is failed; all vote" in result.stderr


@pytest.mark.slow
def test_template(learngn, abdomen_files, tmp_path):
    arguments = ("template", abdomen_files, "-o", tmp_path / "out", "--rounds", "2", "--limit", "3", *FAST)
    result = learngn(*arguments)
    assert result.exit_code == 0
    assert result.stdout.count("3 subjects: template moved by") == 2
    assert result.stdout.endswith("template.nii.gz\n")
    assert read_image(tmp_path / "out" / "template.nii.gz").grid.ndim == 2
    rounds = json.loads(learngn(*arguments, "--json").stdout)
    assert rounds == json.loads((tmp_path / "out" / "template.json").read_text())["rounds"]
    assert rounds[1]["moved"] < rounds[0]["moved"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("template", "{dataset}", "-o", "out", "--subjects", "some"), "train, val or all"),
        (("propagate", "{dataset}", "nothing.nii.gz", "-o", "out"), "nothing.nii.gz"),
        (("propagate", "{dataset}", "-o", "out", "--voting", "loud", "--features", "mind"), "majority, joint"),
        (("propagate", "{dataset}", "-o", "out", "--retry", "--no-quality"), "--retry and --no-quality"),
        (("cohort", "{dataset}", "-o", "out", "--pairs", "pairs.csv"), "pairs.csv"),
        (("cohort", "{dataset}", "-o", "out", "--device", "abacus"), "see learngn info"),
        (("cohort", "{dataset}", "-o", "out", "--features", "mind", "--cluster", "pbs"), "expected slurm"),
    ],
)
def test_bad_wishes(arguments, told, learngn, abdomen_files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = learngn(*(argument.format(dataset=abdomen_files) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_workers_without_dask(learngn, abdomen_files, tmp_path, monkeypatch):
    monkeypatch.setattr("learngn.errors.find_spec", lambda name: None)
    result = learngn("cohort", abdomen_files, "-o", tmp_path / "out", "--workers", "2", *FAST)
    assert result.exit_code == 2
    assert "pip install 'learngn[cohort]'" in result.stderr
    assert result.stderr.count("\n") == 1
    result = learngn("cohort", abdomen_files, "-o", tmp_path / "out", "--pairs", "all", "--workers", "1", *FAST)
    assert result.exit_code == 0
    assert "11 of 11 pairs scored" in result.stdout
    assert "features computed 10 times for 11 pairs" in result.stdout  # of five subjects, the affine stage's too
