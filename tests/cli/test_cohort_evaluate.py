"""learngn cohort and evaluate: a data set, its failures, and where a run goes on."""

import csv
import json

import pytest

from learngn.cohort import read_records


def records(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def broken(dataset):
    """The data set, with a third subject that is no scan."""
    (dataset.parent / "imagesTr" / "Toy_0003_0000.nii.gz").write_text("no scan")
    return dataset


@pytest.mark.slow
def test_cohort_and_its_scores(learngn, dataset, tmp_path, fast, files_in):
    out = tmp_path / "out"
    result = learngn("cohort", dataset, "-o", out, *fast)
    assert result.exit_code == 0
    assert files_in(out) == [
        *(f"disp_{pair}.nii.gz" for pair in ("0001_0002", "0001_0003", "0002_0003")),
        "learngn.log",
        "report.html",
        "results.jsonl",
    ]
    assert f"report: {out / 'report.html'}" in result.stdout
    assert [record["pair"] for record in records(out)] == ["0001_0002", "0001_0003", "0002_0003"]
    assert all(record["dice_mean"] > record["dice_mean_before"] for record in records(out))
    assert all(record["seconds"]["total"] > 0 for record in records(out))
    assert "3 of 3 pairs scored" in result.stdout

    # The fields, scored from their files, are those that the cohort scored in memory.
    scored = learngn(
        "evaluate", dataset, "--fields", out, "--json", "--csv", tmp_path / "scores.csv", "-o", tmp_path / "e"
    )
    summary = json.loads(scored.stdout)
    assert summary == json.loads((tmp_path / "e" / "scores.json").read_text())
    for got, record in zip(summary["pairs"], records(out), strict=True):
        assert got["dice"] == pytest.approx(record["dice"])
        # The displacement in the file includes the affine, so that it is rounded differently.
        assert got["sdlogj"] == pytest.approx(record["sdlogj"], rel=1e-3)
        assert got["hd95"] == pytest.approx(record["hd95"])
    assert summary["labels"]["1"]["name"] == "first"
    (tmp_path / "names.json").write_text('{"1": "liver", "2": "spleen"}')
    named = learngn("evaluate", dataset, "--fields", out, "--json", "--label-names", tmp_path / "names.json")
    assert json.loads(named.stdout)["labels"]["1"]["name"] == "liver"
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert float(rows[0]["dice_mean"]) == pytest.approx(records(out)[0]["dice_mean"])
    assert (tmp_path / "e" / "scores.csv").read_text() == (tmp_path / "scores.csv").read_text()


@pytest.mark.slow
def test_cohort_goes_on(learngn, dataset, tmp_path, fast, monkeypatch):
    out = tmp_path / "out"
    assert learngn("cohort", dataset, "-o", out, "--limit", "1", *fast).exit_code == 0
    first = records(out)
    import learngn.cohort.pair as serial

    done = []
    register = serial.register_pair
    monkeypatch.setattr(
        serial,
        "register_pair",
        lambda pair, *asked, **kw: done.append(pair.moving.name) or register(pair, *asked, **kw),
    )
    result = learngn("cohort", dataset, "-o", out, "--json", *fast)
    assert done == ["Toy_0003_0000.nii.gz"] * 2
    assert records(out)[0] == first[0]
    summary = json.loads(result.stdout)
    assert summary["pairs_scored"] == 3
    assert summary["seconds_mean"] > 0
    assert summary["pairs"][0]["dice"] == first[0]["dice"]

    # A displacement that is gone is made again.
    (out / "disp_0001_0002.nii.gz").unlink()
    done.clear()
    learngn("cohort", dataset, "-o", out, *fast)
    assert done == ["Toy_0002_0000.nii.gz"]


def test_cohort_keeps_settings_apart(learngn, dataset, tmp_path, fast):
    out = tmp_path / "out"
    learngn("cohort", dataset, "-o", out, "--limit", "1", *fast)
    before = (out / "results.jsonl").read_bytes()
    result = learngn("cohort", dataset, "-o", out, "--features", "intensity", *fast)
    assert result.exit_code == 2
    assert result.stderr.count("features ") == 2
    assert "another output folder" in result.stderr
    assert (out / "results.jsonl").read_bytes() == before


@pytest.mark.slow
def test_cohort_after_a_failure(learngn, broken, tmp_path, fast):
    out = tmp_path / "out"
    result = learngn("cohort", broken, "-o", out, *fast)
    assert result.exit_code == 2
    assert "error: 2 of 3 pairs failed" in result.stderr
    assert ["error" in record for record in records(out)] == [False, True, True]
    assert "Toy_0003_0000.nii.gz" in records(out)[1]["error"]
    assert "Toy_0003_0000.nii.gz" in result.stderr
    assert "1 of 3 pairs scored" in result.stdout
    # Mended, the failed ones alone are tried again.
    (broken.parent / "imagesTr" / "Toy_0003_0000.nii.gz").write_bytes(
        (broken.parent / "imagesTr" / "Toy_0002_0000.nii.gz").read_bytes()
    )
    assert learngn("cohort", broken, "-o", out, "-q", *fast).exit_code == 0
    assert not any("error" in record for record in records(out))


@pytest.mark.slow
def test_interrupted_cohort(learngn, dataset, tmp_path, fast, monkeypatch, files_in):
    import learngn.cohort.pair as serial

    write = serial.write_learn2reg

    def interrupt_second(transform, path, *grids, **how):
        if "0001_0003" in path.name:
            raise KeyboardInterrupt
        write(transform, path, *grids, **how)

    monkeypatch.setattr(serial, "write_learn2reg", interrupt_second)
    out = tmp_path / "out"
    result = learngn("cohort", dataset, "-o", out, *fast)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "interrupted")
    assert files_in(out) == ["disp_0001_0002.nii.gz", "learngn.log", "results.jsonl"]
    assert list(read_records(out)) == ["0001_0002"]
    assert "pair 0001_0002: " in (out / "learngn.log").read_text(encoding="utf-8")


def test_wrong_options_stop_before_the_first_pair(learngn, dataset, tmp_path):
    result = learngn("cohort", dataset, "-o", tmp_path / "out", "--features", "mindd")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: feature: got 'mindd'")
    assert not (tmp_path / "out" / "results.jsonl").exists()


def test_evaluate_tells_what_is_missing(learngn, dataset, tmp_path):
    (tmp_path / "fields").mkdir()
    result = learngn("evaluate", dataset, "--fields", tmp_path / "fields")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "got no displacement of the 3 pairs, expected files such as disp_0001_0002.nii.gz" in result.stderr
    assert result.stderr.count("\n") == 1
    # Those of some pairs: each other pair is named once.
    (tmp_path / "fields" / "disp_0001_0003.nii.gz").touch()
    result = learngn("evaluate", dataset, "--fields", tmp_path / "fields")
    assert result.exit_code == 2
    assert "Toy_0002_0000.nii.gz onto Toy_0001_0000.nii.gz: displacement: got no such file" in result.stdout
    assert "disp_0001_0002.nii.gz or .npz" in result.stdout
    assert "error: 3 of 3 pairs failed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("evaluate", "nothing.json", "--fields", "."), "nothing.json"),
        (("cohort", "nothing.json", "-o", "out"), "nothing.json"),
        (("evaluate", "{dataset}", "--fields", "nowhere"), "nowhere"),
    ],
)
def test_bad_paths(arguments, told, learngn, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = learngn(*(argument.format(dataset=dataset) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture
def table(dataset):
    """The pairs of the data set as a table of paths, with names and without labels of the last."""
    lines = ["fixed,moving,fixed_labels,moving_labels,id"]
    for name, fixed, moving, labelled in (("near", 1, 2, True), ("far", 1, 3, True), ("bare", 2, 3, False)):
        scans = [f"imagesTr/Toy_{number:04d}_0000.nii.gz" for number in (fixed, moving)]
        labels = [scan.replace("images", "labels") if labelled else "" for scan in scans]
        lines.append(",".join((*scans, *labels, name)))
    path = dataset.parent / "my pairs.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_a_table_of_paths(learngn, table, tmp_path, fast, files_in):
    out = tmp_path / "out"
    (tmp_path / "names.json").write_text('{"1": "liver", "2": "spleen"}')
    result = learngn("cohort", table, "-o", out, "--label-names", tmp_path / "names.json", *fast)
    assert result.exit_code == 0
    fields = ["disp_bare.nii.gz", "disp_far.nii.gz", "disp_near.nii.gz"]
    assert files_in(out) == [*fields, "learngn.log", "report.html", "results.jsonl"]
    assert [record["pair"] for record in records(out)] == ["near", "far", "bare"]
    assert [record["dice_mean"] is None for record in records(out)] == [False, False, True]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Registration of 3 pairs" in page
    assert "my pairs" in page
    assert "liver" in page
    scored = learngn("evaluate", table, "--fields", out, "--json", "--csv", tmp_path / "scores.csv")
    assert [pair["dice"] for pair in json.loads(scored.stdout)["pairs"]] == [
        pytest.approx(record["dice"]) for record in records(out)
    ]
    rows = csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())
    assert [row["pair"] for row in rows] == ["near", "far", "bare"]


@pytest.mark.slow
def test_tune_on_a_table(learngn, table, tmp_path, fast):
    result = learngn("tune", table, "-o", tmp_path / "s.json", "--features", "mind", "--rounds", 1, *fast)
    assert result.exit_code == 0
    assert (tmp_path / "s.json").is_file()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("propagate",), "0 atlases"),
        (("train",), "training"),
        (("template",), "subjects"),
    ],
)
def test_a_table_has_no_training_subjects(command, told, learngn, table, tmp_path):
    pytest.importorskip("lightning_fabric")
    result = learngn(*command, table, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_save_at_once_and_later(learngn, dataset, tmp_path, fast, files_in):
    out = tmp_path / "out"
    result = learngn("cohort", dataset, "-o", out, "--save", "warped,report", *fast)
    assert result.exit_code == 0
    assert f"warped, report of every pair: {out / 'pairs'}" in result.stdout
    names = {"warped.nii.gz", "metrics.json", "report.html"}
    assert {path.name for path in (out / "pairs" / "0001_0003").iterdir()} == names
    assert 'href="pairs/0001_0003/report.html"' in (out / "report.html").read_text(encoding="utf-8")
    before = records(out)
    later = learngn("cohort", dataset, "-o", out, "--save", "warped,labels,itk,report", *fast)
    assert later.exit_code == 0
    assert {path.name for path in (out / "pairs" / "0001_0003").iterdir()} == names | {
        "warped_labels.nii.gz",
        "displacement.nii.gz",
    }
    assert records(out) == before


@pytest.mark.parametrize(
    ("save", "told"), [("wraped", "'wraped', expected some of"), ("labels", "no moving scan with")]
)
def test_what_cannot_be_saved(save, told, learngn, table, tmp_path):
    table.write_text("fixed,moving\nimagesTr/Toy_0001_0000.nii.gz,imagesTr/Toy_0002_0000.nii.gz\n")
    result = learngn("cohort", table, "-o", tmp_path / "out", "--save", save)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
