"""A daemon whose model runs elsewhere: real but for the worker, which serves without Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from photoramd.models.remote.protocol import ScoresRequest
from photoramd.models.tagger import Tagger
from tests.support.certificates import Authority
from tests.support.clock import bound
from tests.support.daemons import Photoramd, wait_for
from tests.support.photos import camera_photos
from tests.support.worker_double import TOKEN, Reply, Seen, WorkerDouble, problem
from tests.support.xmp import subjects

HEAVY = ("onnxruntime", "torch", "torchvision", "timm", "ray", "uvicorn", "starlette")

Put = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority").resolve())


@pytest.fixture
def worker(authority: Authority, embedded_tagger: Tagger) -> Iterator[WorkerDouble]:
    with WorkerDouble(embedded_tagger, authority.server("127.0.0.1")) as running:
        yield running


Cluster = Callable[..., str]


@pytest.fixture
def cluster(tmp_path: Path, authority: Authority) -> Cluster:
    """The section [cluster] for workers."""
    token = tmp_path.resolve() / "token"
    token.touch(0o600)
    token.write_text(TOKEN)

    def make(*workers: WorkerDouble, **values: str) -> str:
        keys = {
            "workers": [each.url for each in workers], "token_file": os.fspath(token),
            "ca_file": os.fspath(authority.ca_file), **values,
        }  # fmt: skip
        return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())

    return make


Make = Callable[..., Photoramd]


@pytest.fixture
def make(tmp_path: Path, album: Path) -> Iterator[Make]:
    """Make a daemon, which is ended with the test."""
    made: list[Photoramd] = []

    def daemon(**sections: str) -> Photoramd:
        made.append(Photoramd(tmp_path.resolve(), album, **sections))
        return made[-1]

    yield daemon
    for each in made:
        each.close()


def lines(daemon: Photoramd, text: str) -> list[str]:
    return [line for line in daemon.log.read_text().splitlines() if text in line]


def sidecar(photo: Path) -> tuple[str, ...]:
    return subjects(Path(f"{photo}.xmp").read_bytes())


def test_keywords_are_those_of_this_machine(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    photos = [put("cat", "cat.png"), put("china", "china.jpg")]
    assert make().run("scan").returncode == 0
    here = [sidecar(photo) for photo in photos]
    for photo in photos:
        Path(f"{photo}.xmp").unlink()
    daemon = make(cluster=cluster(worker), state=f'path = "{photos[0].parent.parent}/other.db"')
    daemon.database = photos[0].parent.parent / "other.db"
    done = daemon.run("scan")
    assert done.returncode == 0, done.stderr
    assert [sidecar(photo) for photo in photos] == here
    assert worker.pictures == 2
    alike = daemon.run("query", f"like:{photos[0]}", "--json")
    assert len(json.loads(alike.stdout)) >= 1, alike.stderr


def test_a_worker_that_goes_and_comes_back_costs_nothing(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    daemon = make(cluster=cluster(worker))
    worker.stop()
    put("cat", "cat.png")
    daemon.start()
    daemon.wait_for_log("is not available")
    wait_for(lambda: daemon.states() == {"pending": 1})
    (state,) = daemon.ask("status")["workers"]
    assert state["url"] == worker.url
    assert not state["available"]
    assert "cannot be reached" in state["reason"]
    assert "photoramd worker run" in state["remedy"]
    assert "is not available since" in daemon.run("status").stdout
    worker.start()
    daemon.wait_for_states(written=1)
    wait_for(lambda: daemon.ask("status")["workers"][0]["available"])
    assert f'photoramd_worker_up{{worker="{worker.url}"}} 1.0' in metrics(daemon)
    worker.stop()
    put("china", "china.jpg")
    daemon.wait_for_states(written=1, pending=1)
    worker.start()
    daemon.wait_for_states(written=2)
    assert worker.pictures == 2
    assert len(lines(daemon, worker.url)) <= 4
    assert TOKEN not in daemon.log.read_text()
    assert TOKEN not in daemon.run("status", "--json").stdout
    assert daemon.process is not None
    assert TOKEN.encode() not in Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
    assert daemon.stop() == 0


def metrics(daemon: Photoramd) -> str:
    return daemon.run("status", "--format", "prometheus").stdout


def test_a_worker_that_hangs_up_amid_its_answers_blames_nobody(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    daemon = make(cluster=cluster(worker))
    daemon.start()
    daemon.wait_for_log("is available")
    answers = iter([Reply(resets=True), Reply(raw=b"HTTP/1.1 200 O"), problem(503, "busy")])
    worker.says = lambda seen: next(answers, None) if seen.method == "POST" else None
    put("cat", "cat.png")
    daemon.wait_for_states(written=1)
    assert lines(daemon, "cat.png:") == lines(daemon, "cat.png: ")
    assert "failed" not in daemon.log.read_text()


def test_a_picture_that_takes_the_model_down_fails_alone(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    put("cat", "cat.png")
    put("china", "china.jpg")
    killers: list[bytes] = []

    def say(seen: Seen) -> Reply | None:
        if seen.method != "POST":
            return None
        digests = msgspec.msgpack.decode(seen.body, type=ScoresRequest).digests
        killers.extend(digests[:1] if not killers else [])
        return problem(500, "lost") if killers[0] in digests else None

    worker.says = say
    daemon = make(cluster=cluster(worker))
    done = daemon.run("scan", "--json")
    assert json.loads(done.stdout)["failed"] == 1, done.stderr
    assert daemon.states() == {"written": 1, "failed": 1}
    asked = [msgspec.msgpack.decode(each.body, type=ScoresRequest).digests
             for each in worker.seen if each.method == "POST"]  # fmt: skip
    assert asked.count([killers[0]]) in (2, 3)  # it may have been alone at first, too


def test_a_picture_without_valid_scores_fails_alone(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    for name in ("cat.png", "china.jpg", "rocket.jpg"):
        put(name.partition(".")[0], name)
    bad: list[bytes] = []

    def say(seen: Seen) -> Reply | None:
        if seen.method != "POST":
            return None
        digests = msgspec.msgpack.decode(seen.body, type=ScoresRequest).digests
        bad.extend(digests[:1] if not bad else [])
        if bad[0] not in digests:
            return None
        answer = worker.scores(seen.body)
        nothing = memoryview(b"\xff" * answer.scores.nbytes)  # is no number
        return Reply(body=msgspec.msgpack.encode(msgspec.structs.replace(answer, scores=nothing)))

    worker.says = say
    daemon = make(cluster=cluster(worker))
    done = daemon.run("scan", "--json")
    assert json.loads(done.stdout)["failed"] == 1, done.stderr
    assert daemon.states() == {"written": 2, "failed": 1}
    assert "no probabilities" in done.stderr
    assert "is not available" not in done.stderr


def test_a_broken_worker_beside_a_well_one_costs_nothing(
    worker: WorkerDouble,
    authority: Authority,
    embedded_tagger: Tagger,
    cluster: Cluster,
    make: Make,
    album: Path,
) -> None:
    camera_photos(album, 0.3, 40, seed=1)
    with WorkerDouble(embedded_tagger, authority.server("127.0.0.1")) as broken:
        broken.says = lambda seen: (
            problem(500, "failed", "CUDA error") if seen.method == "POST" else None
        )
        daemon = make(cluster=cluster(broken, worker))
        daemon.start()
        daemon.wait_for_states(written=40)
        assert "failed" not in daemon.states()
        assert len(lines(daemon, broken.url)) <= 4
        states = {each["url"]: each for each in daemon.ask("status")["workers"]}
        assert "CUDA error" in states[broken.url]["reason"]
        assert daemon.stop() == 0


def test_a_stop_does_not_wait_for_an_answer(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    hang = threading.Event()
    worker.says = lambda seen: hang.wait(120) and None if seen.method == "POST" else None
    daemon = make(cluster=cluster(worker))
    put("cat", "cat.png")
    daemon.start()
    wait_for(lambda: any(each.method == "POST" for each in worker.seen))
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < bound(20)
    hang.set()
    assert daemon.states() == {"pending": 1}
    worker.says = lambda _: None
    daemon.start()
    daemon.wait_for_states(written=1)


def test_a_scan_without_any_worker_says_so_and_ends(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    daemon = make(cluster=cluster(worker))
    worker.stop()
    put("cat", "cat.png")
    done = daemon.run("scan")
    assert done.returncode == 3
    assert "no worker is available" in done.stderr
    assert "start a worker" in done.stderr
    assert daemon.states() == {"pending": 1}
    worker.start()
    assert daemon.run("scan").returncode == 0
    worker.stop()
    assert daemon.run("scan").returncode == 0  # nothing is new


def test_the_model_runs_here_where_that_is_configured(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    daemon = make(cluster=cluster(worker, fallback="local"), model='precision = "float32"')
    worker.stop()
    put("cat", "cat.png")
    daemon.start()
    daemon.wait_for_states(written=1)
    assert worker.pictures == 0
    worker.start()
    wait_for(lambda: daemon.ask("status")["workers"][0]["available"])
    put("china", "china.jpg")
    daemon.wait_for_states(written=2)
    assert worker.pictures == 1


def test_workers_can_be_configured_and_left_out_while_it_runs(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    daemon = make()
    daemon.start()
    assert daemon.ask("status")["workers"] == []
    daemon.configure(cluster=cluster(worker))
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log(f"The worker {worker.url} is available")
    put("cat", "cat.png")
    daemon.wait_for_states(written=1)
    assert worker.pictures == 1
    daemon.configure()
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.ask("status")["workers"] == [])
    put("china", "china.jpg")
    daemon.wait_for_states(written=2)
    assert worker.pictures == 1


def test_a_token_that_was_repaired_is_used_after_a_reload(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put, tmp_path: Path
) -> None:
    daemon = make(cluster=cluster(worker))
    token = tmp_path / "token"
    token.write_text(TOKEN[8:] + TOKEN[:8])
    daemon.start()
    daemon.wait_for_log("it refuses the token")
    token.write_text(TOKEN)
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log(f"The worker {worker.url} is available")
    put("cat", "cat.png")
    daemon.wait_for_states(written=1)
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log("The configuration is the same")


def test_a_wrong_token_file_is_refused_at_the_start(
    worker: WorkerDouble, cluster: Cluster, make: Make, tmp_path: Path
) -> None:
    daemon = make(cluster=cluster(worker))
    (tmp_path / "token").chmod(0o644)
    done = daemon.run("run")
    assert done.returncode == 78
    assert "others may read the token" in done.stderr
    assert TOKEN not in done.stderr


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ('name = "torchvision:mobilenet_v3_large"', "cannot run on another machine"),
        ('name = "ram++"\ndevice = "cuda"', "which precision ram++ has"),
        ('name = "ram++"\nprecision = "bfloat16"', "what ram++ runs on"),
        ('name = "ram++"\nprecision = "int8"\ndevice = "cpu"', "which precision ram++ has"),
    ],
)
def test_a_model_must_be_said_exactly(
    worker: WorkerDouble, cluster: Cluster, make: Make, model: str, reason: str
) -> None:
    done = make(cluster=cluster(worker), model=model).run("config", "check")
    assert done.returncode == 78
    assert reason in done.stdout + done.stderr
    assert "set model." in done.stdout + done.stderr


def test_what_has_no_effect_is_said(worker: WorkerDouble, cluster: Cluster, make: Make) -> None:
    daemon = make(cluster=cluster(worker), model="idle_unload_minutes = 5")
    checked = daemon.run("config", "check")
    assert checked.returncode == 0
    assert "idle_unload_minutes" in checked.stdout + checked.stderr


def test_the_daemon_s_process_has_none_of_the_heavy_libraries(
    worker: WorkerDouble, cluster: Cluster, make: Make, put: Put
) -> None:
    put("cat", "cat.png")
    daemon = make(cluster=cluster(worker))
    code = (
        "import sys, photoramd.cli\n"
        "try: photoramd.cli.main()\n"
        "except SystemExit as error: print('EXIT', error.code)\n"
        f"print('HEAVY', sorted(set({HEAVY}) & sys.modules.keys()))\n"
    )
    command = [sys.executable, "-c", code, "--config", os.fspath(daemon.config), "scan"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["EXIT 0", "HEAVY []"], done.stderr
    assert worker.pictures == 1


def test_doctor_looks_at_workers(worker: WorkerDouble, cluster: Cluster, make: Make) -> None:
    daemon = make(cluster=cluster(worker))

    def finding() -> dict[str, str]:
        found = json.loads(daemon.run("doctor", "--json").stdout)["findings"]
        (one,) = [each for each in found if each["subject"] == worker.url]
        return dict(one)

    assert finding()["grade"] == "ok"
    assert "certificate valid until" in finding()["text"]
    worker.says = lambda _: problem(401, "unauthorized")
    assert finding()["grade"] == "error"
    worker.stop()
    assert finding()["grade"] == "warning"
    assert "photoramd worker run" in finding()["remedy"]
    assert worker.pictures == 0


def test_check_looks_at_workers_as_a_daemon_does(
    worker: WorkerDouble, cluster: Cluster, make: Make
) -> None:
    program = "import photoramd.cli as c\nc.COMMANDS['worker_check'] = ''; c.main()\n"
    daemon = make(cluster=cluster(worker), program=program)
    done = daemon.run("worker_check")
    assert done.returncode == 0, done.stderr
    assert f"{worker.url}: well" in done.stdout
    assert worker.pictures == 8
    (found,) = json.loads(daemon.run("worker_check", worker.url, "--json").stdout)
    assert found["good"]
    assert found["seconds_a_picture"] > 0
    worker.stop()
    done = daemon.run("worker_check")
    assert done.returncode == 3
    assert "cannot be used" in done.stdout
    assert "-> start it" in done.stdout
    refused = daemon.run("worker_check", "http://desktop.lan:80")
    assert refused.returncode == 2
    assert "this machine alone" in refused.stderr
    assert TOKEN not in done.stdout + done.stderr
