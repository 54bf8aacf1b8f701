"""`--engine ray`: a cluster gives what one process gives, whatever dies, comes and goes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from engine_toys import files_in, lines_in, stubbed

from segkit import UsageError
from segkit.running.engines import ray_pool

pytest.importorskip("ray")

from ray.cluster_utils import Cluster

COUNT = 24


@pytest.fixture(scope="module")
def cluster():
    """Two machines of one processor each, as far as Ray can tell."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def whole(folder):
    """A run of one process."""
    done = started(stubbed(folder, folder / "whole", "--write", "coco", count=COUNT))
    done.communicate()
    return folder / "whole"


def started(words):
    return subprocess.Popen(
        [sys.executable, "-m", "segkit.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def on(cluster, chunk=4):
    return ("--engine", "ray", "--ray.address", cluster.address, "--ray.chunk", str(chunk))


def ended(process):
    """The exit code and what was said, in one line."""
    _, said = process.communicate(timeout=180)
    return process.returncode, " ".join(said.split())


def until_lines(out, count):
    end = time.monotonic() + 90
    while time.monotonic() < end:
        path = out / "results.jsonl"
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)


def check_all_there(out, whole):
    """All lines, as they are without anything in the way."""
    assert lines_in(out) == lines_in(whole)
    assert files_in(out) == files_in(whole)


def test_the_same_as_one_process(cluster, folder, whole):
    out = folder / "same"
    words = stubbed(folder, out, "--write", "coco", *on(cluster), count=COUNT)
    code, said = ended(started(words))
    assert code == 1, said  # an image has failed
    check_all_there(out, whole)
    workers = json.loads((out / "summary.json").read_text())["workers"]
    assert sum(row["images"] for row in workers) == COUNT


def test_machines_come_and_go(cluster, folder, whole):
    out = folder / "goes"
    words = stubbed(
        folder, out, "--write", "coco", "--stub.pause", "0.3", *on(cluster, 2), count=COUNT
    )
    process = started(words)
    until_lines(out, 2)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    cluster.add_node(num_cpus=1)
    code, said = ended(process)
    assert code == 1, said
    check_all_there(out, whole)


def test_an_image_that_kills_its_workers(cluster, folder, whole):
    out = folder / "poison"
    words = stubbed(folder, out, "--write", "coco", "--stub.poison", "shapes-00005", *on(cluster))
    code, said = ended(started([*words, "--quiet"]))
    assert code == 1
    lines = lines_in(out)
    assert len(lines) == 12
    bad = {name for name, line in lines.items() if line["status"] != "ok"}
    assert bad == {"shapes-00002", "shapes-00005"}
    assert "its worker died 3 times (" in lines["shapes-00005"]["error"]
    assert "shapes-00005: its worker died 3 times (" in said


def test_what_cannot_be_opened_is_told_once(cluster, folder):
    out = folder / "broken"
    code, said = ended(started(stubbed(folder, out, "--stub.broken", *on(cluster))))
    assert code in (1, 2)
    assert said.startswith("Error:")
    assert said.count("the stub is broken") == 1
    assert not out.exists()


def test_a_machine_of_another_version_is_refused(cluster, folder):
    info = folder / "elsewhere" / "segkit-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: segkit\nVersion: 9.9\n")
    node = cluster.add_node(num_cpus=1, num_gpus=1, env_vars={"PYTHONPATH": str(info.parent)})
    cluster.wait_for_nodes()
    words = stubbed(folder, folder / "other", *on(cluster), "--ray.gpus", "1")
    try:
        code, said = ended(started(words))
    finally:
        cluster.remove_node(node)
    assert code == 2
    assert "has segkit as 9.9, but here it is 0.2.0; give both the same" in said


def test_an_address_that_does_not_answer(folder):
    words = stubbed(folder, folder / "none", "--engine", "ray", "--ray.address", "127.0.0.1:1")
    code, said = ended(started(words))
    assert code == 2
    assert "--ray.address 127.0.0.1:1: no Ray cluster answers there (Connection refused)" in said


@pytest.mark.parametrize("words", [b"HTTP/1.0 400 Bad request\r\n\r\n", b"", None])
def test_what_answers_and_is_no_ray(folder, monkeypatch, capfd, words):
    """Another server, one that hangs up, and one that never says a word."""
    monkeypatch.setattr(ray_pool, "ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ray_pool.connect, address)
            there, _ = server.accept()
            with there:
                if words is not None:
                    there.sendall(words)
                    there.close()
                error = asking.exception(timeout=30)
    assert isinstance(error, UsageError)
    assert str(error) == (
        f"--ray.address {address}: no Ray cluster answers there (what answers is no Ray); start "
        "one by `ray start --head`, set RAY_AUTH_TOKEN where it has one, or give --ray.address "
        "local"
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_cluster_with_a_token(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-of-this-test-alone"}
    words = ["ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--num-cpus=1"]
    words = [sys.executable, "-m", *words, "--include-dashboard=false"]
    head = subprocess.Popen(
        words, env=os.environ | token, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        line = next(line for line in head.stdout if "ray start --address=" in line)
        address = line.partition("'")[2].partition("'")[0]
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        monkeypatch.setenv("RAY_AUTH_TOKEN", token["RAY_AUTH_TOKEN"])
        flags = ("--engine", "ray", "--ray.address", address, "--quiet")
        code, said = ended(started(stubbed(folder, folder / "token", *flags, count=2)))
        assert (code, said) == (0, "")
        monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
        code, said = ended(started(stubbed(folder, folder / "no-token", *flags, count=2)))
        assert code == 2
        assert said.startswith(f"Error: --ray.address {address}: no Ray cluster answers there (")
        assert "set RAY_AUTH_TOKEN where it has one" in said
    finally:
        head.terminate()
        head.communicate(timeout=30)


def test_an_address_of_the_environment_that_does_not_answer(folder, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, said = ended(started(stubbed(folder, folder / "none", "--engine", "ray")))
    assert code == 2
    assert said.startswith("Error: --ray.address auto: no Ray cluster answers there (Connection")


def test_without_ray(segkit, folder, monkeypatch):
    monkeypatch.setattr("segkit.running.engines.ray_pool.find_spec", lambda name: None)
    done = segkit(*stubbed(folder, "out", "--engine", "ray"))
    assert done.code in (1, 2)
    assert "pip install 'segkit[ray]'" in " ".join(done.err.split())
