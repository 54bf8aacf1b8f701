"""Pages are served to this machine alone: ports, tokens, other sites, what gradio is asked for."""

from __future__ import annotations

import gc
import http.client
import json
import socket
import threading
import urllib.parse
import warnings

import pytest

from segkit import UsageError
from segkit.cli.main import main
from segkit_ui import serving
from segkit_ui.serving import Address, escaped

# gradio leaves event loops open; whatever is running when they are collected tells of it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_port_that_is_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as info:
            Address.hold("127.0.0.1", port)
    assert str(info.value) == (
        f"the port {port} is in use; choose another by --port, or leave it out"
    )


def test_without_a_port_the_first_free_one_is_taken(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(serving, "PORT", taken.getsockname()[1])
        address = Address.hold()
        assert serving.PORT < address.port <= serving.PORT + serving.PORTS
        assert (address.token, address.url) == (None, f"http://127.0.0.1:{address.port}")
        address.socket.close()
        monkeypatch.setattr(serving, "PORTS", 1)
        with pytest.raises(UsageError, match="are all in use; choose another by --port"):
            Address.hold()


def test_a_host_that_is_none_of_this_machine():
    for host in ("203.0.113.7", "no.such.host.invalid"):
        with pytest.raises(UsageError, match=f"--host {host} is no address of this machine"):
            Address.hold(host)


def test_names_are_escaped():
    assert escaped("<img src=x onerror='bad()'>") == "&lt;img src=x onerror=&#x27;bad()&#x27;&gt;"


def test_without_gradio_there_is_the_install_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(SystemExit) as stop:
        main(["review", str(tmp_path)])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "Error: segkit review needs gradio, which is not installed; run: pip install 'segkit[ui]'\n"
    )


# ---- a page that is served --------------------------------------------------------------------


@pytest.fixture(scope="module")
def served():
    """Starts a small page on a host; gives its address back."""
    gradio = pytest.importorskip("gradio")
    import anyio
    import uvicorn

    # Imported when first used: by then in the server's thread, where pytest's import of it may fail
    # (Python 3.11 counts how deep all threads' syntax trees are together).
    assert anyio.open_file

    running = []

    def start(host, folder):
        with gradio.Blocks(analytics_enabled=False) as page:
            gradio.Textbox("here I am")
        address = Address.hold(host)
        app = serving.application(page, address, folders=[folder])
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [address.socket]})
        thread.start()
        running.append((server, thread))
        return address

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()
    with warnings.catch_warnings():  # gradio leaves event loops open
        warnings.simplefilter("ignore")
        gc.collect()


def asked(address, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=30)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer, text


def test_a_page_answers_its_own_requests_alone(served, tmp_path):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown/a.txt").write_text("shown")
    (tmp_path / "secret.txt").write_text("hush")
    address = served("127.0.0.1", tmp_path / "shown")
    answer, text = asked(address, "/")
    assert answer.status == 200
    assert "here I am" in text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert json.loads(asked(address, "/config")[1])["analytics_enabled"] is False
    assert asked(address, "/", Host="evil.example")[0].status == 403
    assert asked(address, "/config", Origin="http://evil.example")[0].status == 403
    assert asked(address, "/config", Origin="null")[0].status == 403
    assert asked(address, "/config", Origin=address.url)[0].status == 200
    shown = urllib.parse.quote(str(tmp_path / "shown/a.txt"))
    assert asked(address, f"/gradio_api/file={shown}")[1] == "shown"
    for path in (tmp_path / "secret.txt", tmp_path / "shown/../secret.txt", "/etc/passwd"):
        answer, text = asked(address, f"/gradio_api/file={urllib.parse.quote(str(path))}")
        assert answer.status in (403, 404)
        assert "hush" not in text
        assert "root:" not in text


def test_uploads_are_bounded(served, tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "UPLOAD_BYTES", 1000)
    address = served("127.0.0.1", tmp_path)
    for size, status in ((900, 200), (5000, 413)):
        content = (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
            + b"a" * size
            + b"\r\n--x--\r\n"
        )
        kind = "multipart/form-data; boundary=x"
        answer, text = asked(address, "/gradio_api/upload", "POST", content, Content_Type=kind)
        assert answer.status == status, text


def test_other_machines_need_the_token(served, tmp_path):
    address = served("0.0.0.0", tmp_path)
    assert len(address.token) > 20
    for path in ("/", "/config", "/gradio_api/info", "/assets/index.js", "/gradio_api/queue/data"):
        answer, text = asked(address, path)
        assert answer.status == 401
        assert "The token that the command has printed" in text
    form = "application/x-www-form-urlencoded"
    for body in ("token=wrong", "", "token=" + "a" * 9000, "\xff"):
        answer, text = asked(address, "/token", "POST", body, Content_Type=form)
        assert (answer.status, answer.headers["set-cookie"]) == (401, None)
        assert "This is not the token." in text
    answer, _ = asked(address, "/token", "POST", f"token={address.token}", Content_Type=form)
    assert answer.status == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    answer, text = asked(address, "/", Cookie=cookie.partition(";")[0])
    assert (answer.status, "here I am" in text) == (200, True)
    assert asked(address, "/", Cookie=f"{serving.COOKIE}=wrong")[0].status == 401
