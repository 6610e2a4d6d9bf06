"""Workers, the client or the scheduler are killed: nothing is lost, nothing done twice, all the same."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import psutil
import pytest

from learngn.cohort import CohortEvents, Failure, open_pool, read_records, run_cohort
from learngn.errors import ClusterError
from learngn.io import choose_pairs, read_dataset

pytestmark = pytest.mark.slow

PATIENCE = 60  # seconds
COHORT = (
    "cohort",
    "--no-report",
    "--pairs",
    "train",
    "--features",
    "organ-distance",
    "--strides",
    "8,4",
    "--iterations",
    "3,3",
)
PROGRAM = "from learngn.cli import main\nif __name__ == '__main__':\n    main()\n"


@pytest.fixture(scope="module")
def pool():
    """Two processes."""
    with open_pool(2, threads=1) as workers:
        yield workers


def wait(reached):
    start = time.monotonic()
    while not reached():
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.02)


def test_workers_keep_what_they_allocate_and_their_share_of_threads(pool):
    for worker in pool.client.run(lambda: dict(os.environ)).values():
        assert worker.get("MALLOC_TRIM_THRESHOLD_") == os.environ.get("MALLOC_TRIM_THRESHOLD_")
        assert worker["OMP_NUM_THREADS"] == "1"


def test_two_workers_killed_in_the_middle(pool, pairs, settings, tmp_path, undisturbed, contents):
    done, counted, killed = Counter(), [], []

    def kill(record):
        done[record["pair"]] += 1
        if len(killed) < 2 and len(done) > 2 * len(killed):
            process = next(pid for pid in pool.client.run(os.getpid).values() if pid not in killed)
            killed.append(process)
            os.kill(process, signal.SIGKILL)

    run_cohort(pairs, tmp_path, settings, CohortEvents(done=kill, ends=lambda *n: counted.append(n)), pool=pool)
    assert len(killed) == 2
    assert done == Counter(pair.id for pair in pairs)
    assert counted == [(5, 10)]
    assert contents(tmp_path) == contents(undisturbed)


def test_one_thread_and_one_gpu_each(pool, monkeypatch):
    assert list(pool.client.run(os.getenv, "OMP_NUM_THREADS").values()) == ["1", "1"]
    monkeypatch.setattr("learngn.cohort.cluster.cuda_devices", lambda: ["one", "another"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with open_pool(3, threads=2) as workers:
        workers.client.wait_for_workers(3)
        assert sorted(workers.client.run(os.getenv, "CUDA_VISIBLE_DEVICES").values()) == ["4", "4", "7"]


def test_failed_pair_and_its_retries(pool, copied, settings, tmp_path):
    pairs = choose_pairs(read_dataset(copied), "train")
    good = pairs[-1].moving.image.read_bytes()
    pairs[-1].moving.image.write_text("no scan")
    records = run_cohort(pairs, tmp_path / "out", settings, pool=pool, retries=1)
    assert ["error" in record for record in records] == [pair.moving == pairs[-1].moving for pair in pairs]
    assert records[-1]["error"].startswith("image ")  # an error of ours crosses over whole
    pairs[-1].moving.image.write_bytes(good)
    again = run_cohort(pairs, tmp_path / "out", settings, pool=pool)
    assert not any("error" in record for record in again)
    assert again[0] == json.loads(json.dumps(records[0]))


def test_pair_that_kills_every_worker(pool, monkeypatch):
    monkeypatch.setattr(pool.client.cluster.scheduler, "allowed_failures", 0)
    found = dict(pool.run({"bad": partial(os._exit, 1), "good": os.getpid}, retries=0))
    assert isinstance(found["bad"], Failure)
    assert "killed again and again" in found["bad"].error
    assert isinstance(found["good"], int)


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *(str(argument) for argument in arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def done_in(folder):
    """Names of the pairs that have a record, which is written after the displacement."""
    saved = [path.stem for path in (folder / ".learngn-cohort" / "records").glob("*.json")]
    return {*saved, *read_records(folder)}


def test_killed_client(abdomen_files, tmp_path, learngn, undisturbed):
    """Killed with its workers, started again: the pairs that were done are not touched."""
    (tmp_path / "program.py").write_text(PROGRAM)
    options = (abdomen_files, "-o", tmp_path / "out", "--threads", "1", "--workers", "2", "--lambda", "3,0.5")
    client = start(tmp_path / "program.py", *COHORT, *options)
    wait(lambda: len(done_in(tmp_path / "out")) >= 2)
    everyone = [*psutil.Process(client.pid).children(recursive=True), psutil.Process(client.pid)]
    client.kill()
    client.communicate()
    psutil.wait_procs(everyone, timeout=PATIENCE)
    assert not any(process.is_running() for process in everyone)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("disp_*")}
    known = done_in(tmp_path / "out")
    assert 2 <= len(known) < 10

    result = learngn(*COHORT, *options[:5], "--lambda", "3,0.5")
    assert result.exit_code == 0
    assert "10 of 10 pairs scored" in result.stdout
    for path, when in before.items():
        if path.name.removeprefix("disp_").removesuffix(".nii.gz") in known:
            assert path.stat().st_mtime_ns == when
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in undisturbed.iterdir()} | {"learngn.log"}
    for path in undisturbed.glob("disp_*"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_lost_scheduler(pairs, settings, tmp_path, undisturbed, contents):
    file = tmp_path / "scheduler.json"
    module = ("-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    scheduler = start(*module)
    worker = start("-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--scheduler-file", file)
    try:
        wait(lambda: file.exists() and "tcp://" in file.read_text())  # it may be there and not yet be written
        address = next(part for part in file.read_text().split('"') if part.startswith("tcp://"))
        events = CohortEvents(done=lambda record: scheduler.kill())
        with (
            open_pool(scheduler=address) as reached,
            pytest.raises(ClusterError, match="start it, and the same command again"),
        ):
            run_cohort(pairs, tmp_path / "out", settings, events, pool=reached)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.communicate()
    assert 1 <= len(read_records(tmp_path / "out")) < 10
    run_cohort(pairs, tmp_path / "out", settings)
    assert contents(tmp_path / "out") == contents(undisturbed)


def test_jobs_of_slurm(pairs, settings, tmp_path, monkeypatch, undisturbed, contents):
    """A Slurm whose jobs start at once, on this machine."""
    jobs = tmp_path / "jobs.sh"
    programs = {
        "sbatch": f'#!/bin/bash\ncp "$1" {jobs}\nsetsid bash {jobs} >/dev/null 2>&1 &\necho "Submitted batch job $!"\n',
        "scancel": '#!/bin/bash\nkill -- -"$1"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        path = tmp_path / "bin" / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    with open_pool(1, cluster="slurm", threads=2) as workers:
        run_cohort(pairs[:3], tmp_path / "out", settings, pool=workers)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    script = jobs.read_text()
    assert "#SBATCH --cpus-per-task=2" in script
    assert "export OMP_NUM_THREADS=2" in script
    assert "--nthreads 1" in script
    assert len(read_records(tmp_path / "out")) == 3
    for pair in pairs[:3]:
        assert contents(tmp_path / "out")[pair.field_name] == contents(undisturbed)[pair.field_name]
