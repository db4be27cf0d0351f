import json
import os
import select
import signal
import subprocess
import sys
from multiprocessing import active_children
from pathlib import Path

import pytest
from backend_jobs import GATE, Gate, Job, register_brief, work
from elsewhere import sealed

from metagan_rl.agents.learners.shipped import shipped_policy
from metagan_rl.errors import InvalidValueError, MissingDependencyError, UnknownNameError, WorkerError
from metagan_rl.experiments.benchmark import BenchmarkConfig, run_benchmark
from metagan_rl.experiments.benchmark.backends import Workers, run_jobs
from metagan_rl.loop.scheduler import SCHEDULERS
from metagan_rl.tasks.suites import SUITES

IMPORTABLE = f"{Path(__file__).parent.parent}{os.pathsep}{Path(__file__).parent}"
"""The package as it is tested here, and the modules of the tests, for processes that are started elsewhere."""
BENCHMARK = """
import sys
from backend_jobs import register_brief
from metagan_rl.experiments import BenchmarkConfig, run_benchmark

register_brief()
if __name__ == "__main__":
    config = BenchmarkConfig("brief", "test", ("constant", "held"), seeds=1)
    run_benchmark(config, sys.argv[1], workers=int(sys.argv[2]), show=lambda line: print(line, flush=True))
"""
COMMAND_LINE = """
import sys
from backend_jobs import register_brief
from metagan_rl.cli import main

register_brief()
if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.fixture
def brief():
    register_brief()
    yield "brief"
    SUITES.remove("brief")
    SCHEDULERS.remove("held")


@pytest.fixture
def gates(tmp_path):
    """Makes closed gates; whatever the test comes to, no job is left waiting."""
    made = []

    def making(name):
        folder = tmp_path / "gates" / name
        folder.parent.mkdir(exist_ok=True)
        made.append(Gate(folder))
        made[-1].close()
        return made[-1], folder

    yield making
    for gate in made:
        gate.open()


def _rows(directory):
    return [json.loads(line) for line in (directory / "rows.jsonl").read_text().splitlines()]


def _settled(rows):
    return sorted(json.dumps({k: v for k, v in row.items() if k not in ("seconds", "check")}) for row in rows)


@pytest.fixture
def start():
    """Starts a Python of its own, which does not outlive the test."""
    started = []

    def starting(arguments, **options):
        environment = {**os.environ, "PYTHONPATH": IMPORTABLE}
        command = [sys.executable, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes, **options))
        return started[-1]

    yield starting
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_each_job_has_one_result_wherever_it_runs(workers, tmp_path):
    jobs = [Job(f"j{i}", tmp_path, load=bytes(200_000)) for i in range(4)]  # more than a pipe holds
    results = dict(run_jobs(work, jobs, workers=workers))
    assert {job: result[:2] for job, result in results.items()} == {job: (job.name, 200_000) for job in jobs}
    assert all(job.begun == 1 for job in jobs)
    pids = {pid for _, _, pid in results.values()}
    assert pids == {os.getpid()} if workers == 0 else os.getpid() not in pids and len(pids) <= workers


def test_a_lost_workers_job_is_run_again_and_no_other(gates, tmp_path):
    gate, folder = gates("fine")
    unlucky = Job("unlucky", tmp_path, deaths=2, beside=folder)
    jobs = [Job("fine", tmp_path, gate=folder), unlucky, Job("late", tmp_path)]
    results = run_jobs(work, jobs, workers=2)
    assert {next(results)[0], next(results)[0]} == set(jobs[1:])  # all that while the first is at its gate
    gate.open()
    assert [job for job, _ in results] == jobs[:1]
    assert [job.begun for job in jobs] == [1, 3, 1]


def test_a_job_that_always_loses_its_worker_is_named_after_the_others_are_done(tmp_path):
    jobs = [Job("doomed", tmp_path, deaths=99), *(Job(f"j{i}", tmp_path) for i in range(3))]
    seen = []
    with pytest.raises(WorkerError, match=r"lost its worker 2 times \(exit code -9\): the job doomed; .*fewer workers"):
        seen.extend(job for job, _ in run_jobs(work, jobs, workers=1, attempts=2))
    assert seen == jobs[1:] and jobs[0].begun == 2


def test_a_script_without_a_guard_is_told_so_at_once(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from metagan_rl.experiments import BenchmarkConfig, run_benchmark\n"
        "config = BenchmarkConfig('dirac', 'val', ('constant',), tasks=1, seeds=1)\n"
        "run_benchmark(config, 'out', workers=1)\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "ended as it started (exit code 1)" in last
    assert last.endswith("put the code that begins the work under: if __name__ == '__main__':")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_job_raises_costs_the_others_nothing(workers, tmp_path):
    jobs = [Job("bad", tmp_path, fails=True), Job("worse", tmp_path, fails=True), Job("good", tmp_path)]
    seen = []
    with pytest.raises(Exception, match="broken beyond repair") as raised:
        seen.extend(job.name for job, _ in run_jobs(work, jobs, workers=workers))
    assert seen == ["good"] and jobs[0].begun == 1
    notes = "\n".join(raised.value.__notes__)
    assert "in job: the job bad" in notes and "other jobs that failed: 1" in notes
    assert workers == 0 or 'raise StubbornError("broken"' in notes


def test_workers_stay_for_the_next_jobs_and_survive_a_death_while_idle(tmp_path):
    with Workers(work, workers=1) as crew:
        ((_, first),) = crew.run([Job("a", tmp_path)])
        ((_, second),) = crew.run([Job("b", tmp_path)])
        assert first[2] == second[2]
        (worker,) = (each for each in active_children() if each.pid == first[2])
        worker.kill()
        worker.join()
        job = Job("c", tmp_path)
        ((_, third),) = crew.run([job])
        assert third[2] != first[2] and job.begun == 1
    assert not _alive(third[2])


def test_who_stops_asking_ends_the_workers_whatever_they_are_at(gates, tmp_path):
    _, folder = gates("never opened")
    jobs = [Job("quick", tmp_path, beside=folder), Job("endless", tmp_path, gate=folder)]
    others = active_children()
    results = run_jobs(work, jobs, workers=2)
    assert next(results)[0] == jobs[0]
    workers = [each for each in active_children() if each not in others]  # one is idle, one in the middle of its job
    assert len(workers) == 2 and all(worker.is_alive() for worker in workers)
    results.close()
    assert not any(worker.is_alive() for worker in workers)


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(UnknownNameError, match="did you mean process"):
        run_jobs(work, [], backend="proces")
    with pytest.raises(InvalidValueError, match="workers is -1"):
        run_jobs(work, [], workers=-1)
    with pytest.raises(InvalidValueError, match="attempts is 0"):
        run_jobs(work, [], attempts=0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ray>=\d"):
        run_jobs(work, [], backend="ray")


def test_a_killed_benchmark_goes_on_with_what_is_missing(brief, start, gates, tmp_path, monkeypatch):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(BENCHMARK)
    gate, folder = gates("middle")
    monkeypatch.setenv(GATE, str(folder))
    killed = start([str(script), str(out), "2"])
    assert killed.stdout.readline().startswith("4/8 runs")  # those of the constant
    gate.arrival()  # the others are half done, and stay so
    workers = Path(f"/proc/{killed.pid}/task/{killed.pid}/children")
    orphans = [os.pidfd_open(int(pid)) for pid in workers.read_text().split()] if workers.exists() else []
    killed.kill()
    killed.wait()
    gate.open()
    for orphan in orphans:  # they see that it is gone, and end
        _wait_for_end(orphan)
        os.close(orphan)
    before = _rows(out)
    assert len(before) == 4 and {row["scheduler"] for row in before} == {"constant"}
    shown = start([str(script), str(out), "0"]).communicate()[0]
    assert "4/4 runs" in shown
    assert _rows(out)[: len(before)] == before
    config = BenchmarkConfig(brief, "test", ("constant", "held"), seeds=1)
    assert _settled(_rows(out)) == _settled(_rows(run_benchmark(config, tmp_path / "whole", workers=0)))


def test_ctrl_c_ends_a_benchmark_with_one_line(start, gates, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(COMMAND_LINE)
    gate, folder = gates("never opened")
    monkeypatch.setenv(GATE, str(folder))
    what = ["benchmark", "--suite=brief", "--split=test", "--schedulers=constant,held", "--seeds=1", "--workers=2"]
    deaf = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background tests are deaf
    try:
        benchmark = start([str(script), *what, f"--out={tmp_path / 'out'}"], start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, deaf)
    assert benchmark.stdout.readline().startswith("4/8 runs")
    worker = gate.arrival()
    os.killpg(benchmark.pid, signal.SIGINT)
    _, error = benchmark.communicate()
    assert benchmark.returncode == 130
    assert error == "metagan-rl: interrupted; what was written can be used by --resume or report\n"
    assert not _alive(worker)


@sealed("ray")
def test_ray_runs_jobs_as_processes_do(tmp_path, monkeypatch):
    jobs = [Job("fine", tmp_path, load=bytes(200_000)), Job("unlucky", tmp_path, deaths=1)]
    jobs += [Job("bad", tmp_path, fails=True), Job("doomed", tmp_path, deaths=99), Job("late", tmp_path)]
    seen = []
    monkeypatch.setenv("PYTHONPATH", IMPORTABLE)
    with pytest.raises(Exception, match="broken beyond repair") as raised:
        seen.extend(job.name for job, _ in run_jobs(work, jobs, backend="ray", workers=2, attempts=2))
    assert sorted(seen) == ["fine", "late", "unlucky"]
    assert [job.begun for job in jobs] == [1, 2, 1, 2, 1]
    notes = "\n".join(raised.value.__notes__)
    assert (
        "in job: the job bad" in notes
        and "other jobs that failed: 1" in notes
        and 'raise StubbornError("broken"' in notes
    )
    with pytest.raises(WorkerError, match=r"2 times \(WorkerCrashedError.*the job gone"):
        list(run_jobs(work, [Job("gone", tmp_path, deaths=99)], backend="ray", workers=1, attempts=2))


@sealed("ray")
def test_ray_gives_the_same_rows(brief, tmp_path):
    import backend_jobs
    import ray

    policy = tmp_path / "mine.safetensors"
    policy.write_bytes(shipped_policy().read_bytes())
    config = BenchmarkConfig(brief, "test", ("constant", "random"), (("mine", str(policy)),), seeds=2)
    expected = _rows(run_benchmark(config, tmp_path / "here", workers=0))
    environment = {
        "py_modules": [backend_jobs.__file__.replace("backend_jobs.py", "")],
        "worker_process_setup_hook": "tests.backend_jobs.register_brief",
    }
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="WARNING", runtime_env=environment)
    try:
        rows = _rows(run_benchmark(config, tmp_path / "ray", backend="ray"))
        assert ray.is_initialized(), "a Ray that the caller connected to is the caller's to end"
    finally:
        ray.shutdown()
    assert _settled(rows) == _settled(expected)


@sealed("ray")
def test_a_lost_machine_loses_nothing(gates, tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", IMPORTABLE)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    other = cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    (one, folder), (two, another) = gates("one"), gates("two")
    held = [Job("one", tmp_path, gate=folder), Job("two", tmp_path, gate=another)]
    jobs = [*(Job(f"before{i}", tmp_path) for i in range(2)), *held, *(Job(f"after{i}", tmp_path) for i in range(4))]
    results = run_jobs(work, jobs, backend="ray")
    seen = [next(results)[0]]  # now all of them are with Ray
    workers = [os.pidfd_open(one.arrival()), os.pidfd_open(two.arrival())]  # one on each machine, as each has one CPU
    cluster.remove_node(other, allow_graceful=False)
    _wait_for_end(*workers)
    one.open()
    two.open()
    seen += [job for job, _ in results]
    cluster.shutdown()
    assert sorted(job.name for job in seen) == sorted(job.name for job in jobs)
    assert sorted(job.begun for job in held) == [1, 2] and all(job.begun == 1 for job in jobs if job not in held)


def _wait_for_end(*processes):
    """Waits until one of the processes has ended; they are given as file descriptors, so they need be no children."""
    select.select(processes, [], [])


def _alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
