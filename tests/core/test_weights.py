"""Weights are fetched whole or not at all, from a server that misbehaves."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from segkit import SegkitError, UsageError, Weights
from segkit.cli.main import main
from segkit.plugins.weights import fetch, fetch_from_hub, part_of

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT by ranges; cuts the first connections of `/cut`."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        content = CONTENT[::-1] if self.path == "/wrong" else CONTENT
        if self.path == "/gone":
            self.send_error(404)
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and self.path != "/norange":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if self.path in ("/cut", "/norange") and self.server.cuts > 0:
            self.server.cuts -= 1
            end = start + (len(content) - start) // 2
        self.wfile.write(content[start:end])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.asked, found.cuts = [], 0
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def weights(server, path="/good"):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Weights("big", "A test", "CC0", "big.bin", digest, len(CONTENT), url)


def test_the_right_file_is_fetched_once(server):
    wanted = weights(server)
    assert wanted.status == "not here"
    heard = []
    assert fetch(wanted, lambda done, total: heard.append((done, total))) == wanted.path
    assert wanted.path.read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert wanted.status == "here"
    fetch(wanted)
    assert len(server.asked) == 1


def test_a_cut_connection_is_taken_up_where_it_was_cut(server):
    server.cuts = 2
    wanted = weights(server, "/cut")
    fetch(wanted)
    assert wanted.path.read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges[0] is None
    assert all(r is not None for r in ranges[1:])
    assert not part_of(wanted.path).exists()


def test_a_server_that_keeps_cutting_leaves_a_part_to_go_on_with(server):
    server.cuts = 4
    wanted = weights(server, "/cut")
    with pytest.raises(SegkitError) as error:
        fetch(wanted)
    assert "fetching big from http://127.0.0.1" in str(error.value)
    assert "of 3.0 MB (the connection was cut); the same command goes on from there" in str(
        error.value
    )
    assert wanted.status == "partly here"
    assert not wanted.path.exists()
    done = part_of(wanted.path).stat().st_size
    assert 0 < done < len(CONTENT)
    fetch(wanted)
    assert server.asked[-1][1] == f"bytes={done}-"
    assert wanted.path.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(server):
    server.cuts = 1
    wanted = weights(server, "/norange")
    fetch(wanted)
    assert wanted.path.read_bytes() == CONTENT


def test_a_wrong_file_is_thrown_away(server):
    wanted = weights(server, "/wrong")
    with pytest.raises(SegkitError, match=r"/wrong sent is not big \(its SHA-256 is not"):
        fetch(wanted)
    assert list(wanted.path.parent.iterdir()) == []


def test_a_wrong_part_is_found_out(server):
    wanted = weights(server)
    part = part_of(wanted.path)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    with pytest.raises(SegkitError, match="it was thrown away"):
        fetch(wanted)
    part.write_bytes(b"x" * (len(CONTENT) + 5))  # more than there is
    assert fetch(wanted).read_bytes() == CONTENT


def test_a_damaged_file_is_fetched_again(server):
    wanted = weights(server)
    fetch(wanted)
    wanted.path.write_bytes(b"truncated")
    assert fetch(wanted).read_bytes() == CONTENT


def test_what_the_server_does_not_have_is_told(server):
    with pytest.raises(SegkitError) as error:
        fetch(weights(server, "/gone"))
    assert "stopped (the server says 404 Not Found); check the network" in str(error.value)
    assert len(server.asked) == 1


def test_without_network_it_is_told(server):
    wanted = weights(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(SegkitError, match=r"stopped \(no connection\); check the network"):
        fetch(wanted)


def test_offline_nothing_is_asked(server, monkeypatch):
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    with pytest.raises(UsageError) as error:
        fetch(weights(server))
    assert str(error.value) == (
        "big is not fetched, for $SEGKIT_OFFLINE is set; unset it to allow that"
    )
    with pytest.raises(UsageError, match="hf:a/b is not fetched"):
        fetch_from_hub("hf:a/b")
    assert server.asked == []


def test_a_name_that_the_hub_cannot_have_is_told(server):
    pytest.importorskip("huggingface_hub")
    with pytest.raises(UsageError, match=r"is no name of the hub; write hf:OWNER/NAME"):
        fetch_from_hub("hf:a/b/c/d")


PLUGIN = """
from segkit import Prompter, Prompts, Weights, hookimpl

class Mine(Prompter):
    "Knows a file."
    name = "mine"

    @classmethod
    def known_weights(cls):
        return [Weights("big", "A test", "CC0", "big.bin", "{digest}", {size}, "{url}")]

    def __call__(self) -> Prompts:
        return Prompts()

@hookimpl
def segkit_prompters():
    return [Mine]
"""


def segkit(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def test_the_command_fetches_lists_and_verifies(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    wanted = weights(server)
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(digest=wanted.sha256, size=wanted.size, url=wanted.url))
    own = ("--plugin", plugin)
    code, out, _ = segkit(capsys, "weights", "list", *own)
    assert code == 0
    assert "375.0 MB" in out
    assert "not here" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    code, out, err = segkit(capsys, "weights", "fetch", "big", *own)
    assert (code, out.strip()) == (0, str(wanted.path)), err
    code, out, _ = segkit(capsys, "weights", "verify", *own)
    assert code == 0
    assert "nano: ok" in out
    assert "big: ok" in out
    wanted.path.write_bytes(b"damaged")
    code, out, _ = segkit(capsys, "weights", "verify", *own)
    assert code == 1
    assert f"big: {wanted.path} is not the file that it should be; delete it and fetch it" in out
    code, _, err = segkit(capsys, "weights", "fetch", "vit_bb")
    assert code == 2
    assert "no plugin knows weights of the name 'vit_bb'; did you mean 'vit_b'?" in err
    code, _, err = segkit(capsys, "weights", "fetch", "nano")
    assert code == 2
    assert err == "Error: nano ships with its plugin; there is nothing to fetch\n"


def test_a_fetched_checkpoint_is_found_by_the_models_name(server, monkeypatch):
    """The file under the official name in the cache folder is what --sam.model vit_b loads."""
    from segkit import Catalog
    from segkit.running.recipe import make_step

    sam = make_step(Catalog(third_party=False), "segmenter", "sam", {"model": "vit_b"})
    (official,) = (w for w in sam.known_weights() if w.name == "vit_b")
    with pytest.raises(UsageError, match=r"run segkit weights fetch vit_b, or give"):
        sam.weight_files()
    official.path.parent.mkdir(parents=True)
    official.path.write_bytes(b"")
    assert sam.weight_files() == {"vit_b": official.path}
