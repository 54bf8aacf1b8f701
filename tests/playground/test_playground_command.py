"""The command: what it refuses, each in a sentence, before a page is served."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec

import pytest

from segkit.cli.main import main

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is in segkit[ui]")


@pytest.fixture
def refused(capsys, photos):
    """Run the command, which refuses; its sentence."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["playground", *words])
        printed = capsys.readouterr()
        assert stop.value.code == 2
        assert printed.out == ""
        assert printed.err.startswith("Error: ")
        assert printed.err.count("\n") == 1
        return printed.err

    return run


def test_a_port_in_use(refused, photos):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(str(photos), "--port", str(port))
    assert f"the port {port} is in use; choose another by --port" in said


def test_without_gradio(refused, photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "segkit playground needs gradio" in (said := refused(str(photos)))
    assert "pip install 'segkit[ui]'" in said


def test_photos_that_are_not_there(refused, tmp_path):
    assert "there is no file" in refused(str(tmp_path / "none.jpg"))
    assert "holds no image" in refused(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[[prompt]", "is not a TOML file"),
        ('[[prompt]]\nname = "erase"', "erase only refines"),
        ('[[prompt]]\nname = "topk"\nk = 0', "Invalid value for --topk.k"),
        ('[[prompt]]\nname = "nobody"', "no prompt plugin has that name"),
    ],
)
def test_a_recipe_to_start_from_that_does_not_work(refused, photos, tmp_path, content, said):
    file = tmp_path / "bad.toml"
    file.write_text(content)
    assert said in refused(str(photos), "--recipe", str(file))


def test_what_is_no_address_device_or_plugin(refused, photos, tmp_path):
    assert "--host 203.0.113.7 is no address" in refused(str(photos), "--host", "203.0.113.7")
    assert "--device should be auto" in refused(str(photos), "--device", "gpu")
    assert "there is no such file" in refused(str(photos), "--plugin", str(tmp_path / "none.py"))


def test_the_page_answers_what_it_should_not_be_sent_with_a_sentence(bench_of):
    from segkit_ui.playground.page import answered

    bench = bench_of()
    good = {"form": bench.start().model_dump(), "controls": True}
    for sent in (None, [], {"form": {"sides": []}}, {"form": {**good["form"], "photo": "x"}}):
        answer = answered(bench, sent)
        assert answer["stages"] is None
        assert answer["sentence"]
    answer = answered(bench, good)
    assert answer["sentence"] == ""
    assert "data-stage" in answer["stages"]
    assert "bench-form" in answer["controls"]
    assert answered(bench, {**good, "controls": False})["controls"] is None


def test_what_fails_in_the_page_itself_is_a_sentence_too(bench_of, monkeypatch):
    from segkit_ui.playground.page import answered

    bench = bench_of()
    monkeypatch.setattr(bench, "stages", lambda form: 1 / 0)
    answer = answered(bench, {"form": bench.start().model_dump()})
    assert answer["sentence"] == (
        "the playground itself failed: ZeroDivisionError: division by zero"
    )
