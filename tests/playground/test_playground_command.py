"""The command: what it refuses, each in a sentence, before a page is served."""

from __future__ import annotations

import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from segkit import Recipe
from segkit.cli.main import main
from segkit.running.recipe import Part

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
    from segkit_ui.playground.page import Questions

    bench = bench_of()
    good = {"form": bench.start().model_dump(), "controls": True}
    for sent in (None, [], {"form": {"sides": []}}, {"form": {**good["form"], "photo": "x"}}):
        answer = Questions(bench).answer(sent)
        assert answer["stages"] is None
        assert answer["sentence"]
    answer = Questions(bench).answer(good)
    assert answer["sentence"] == ""
    assert "data-stage" in answer["stages"]
    assert "bench-form" in answer["controls"]
    assert Questions(bench).answer({**good, "controls": False})["controls"] is None


def test_what_fails_in_the_page_itself_is_a_sentence_too(bench_of, monkeypatch):
    from segkit_ui.playground.page import Questions

    bench = bench_of()
    monkeypatch.setattr(bench, "stages", lambda *_: 1 / 0)
    answer = Questions(bench).answer({"form": bench.start().model_dump()})
    assert answer["sentence"] == (
        "the playground itself failed: ZeroDivisionError: division by zero"
    )


def test_a_question_is_cancelled_between_two_steps_and_others_are_not(bench_of):
    from segkit_ui.playground.page import Questions

    questions = Questions(bench_of())
    recipe = Recipe({"prompt": (Part("mine:middle", {"mood": "slow"}),)})
    form = bench_of(recipe).start().model_dump()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(questions.answer, {"form": form, "controls": True, "number": "1"})
        time.sleep(0.5)
        questions.cancel("2")  # nobody's
        questions.cancel("1")
        answer = asked.result()
    assert answer["stages"] is None
    assert answer["sentence"].startswith("cancelled; what was made until then is kept")
    assert "bench-form" in answer["controls"]
    answer = questions.answer({"form": form, "number": "1"})
    assert answer["sentence"] == ""
    assert re.search(r"<h3>Prompts <small>middle . kept</small>", answer["stages"])
