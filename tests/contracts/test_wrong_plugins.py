"""Deliberately wrong plugins (the modules in `wrong`): the kit says of each what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from reports import reported

from segkit.kinds import KINDS as ALL

WRONG = Path(__file__).parent / "wrong"
KINDS = {kind.hook: kind.name for kind in ALL.values()}

FIRST = """
from hypothesis import Phase, settings

settings.register_profile("first", phases=[Phase.generate])
settings.load_profile("first")
"""
"""The first drawn value that shows a fault will do here; the smallest takes most of a minute."""

FOUND = {
    "asks-nothing": (
        "no_prompt_is_empty",
        "prompt 'asks-nothing' makes prompt 0 without point, box or mask on the picture "
        "'no-heat'; leave it out, or return Prompts()",
    ),
    "batch-wise": (
        "a_batch_equals_single_calls",
        "transform 'batch-wise' gives another answer in a batch than alone on the picture "
        "'ordinary': its Heatmap.values",
    ),
    "by-zero": (
        "scores_are_numbers",
        "score of metric 'by-zero' raises ZeroDivisionError for the counts {'found': 0, "
        "'true': 0} of the picture 'no-object': division by zero",
    ),
    "chatty": (
        "it_prints_nothing",
        "prompt 'chatty' prints to standard output: 'found 11 10'",
    ),
    "counts-all-files": (
        "the_end_is_of_finished_pictures_alone",
        "finish of writer 'counts-all-files' counts a picture that is not finished (the file "
        "'counts-all-files.csv' differs); go by the names that it is given as 'images'",
    ),
    "damage-at-0": (
        "level_0_is_no_damage",
        "perturbation 'damage-at-0' does damage at level 0: its image.pixels[0, 0, 0] is ",
    ),
    "drops-the-class": (
        "it_keeps_class_and_score",
        "transform 'drops-the-class' makes the heatmap's name None of 'cat'; hand it on "
        "(dataclasses.replace(heatmap, values=...) does)",
    ),
    "early-torch": (
        "heavy_libraries_are_imported_late",
        "the module of prompt 'early-torch' imports torch when it is imported; import it "
        "inside the method that needs it",
    ),
    "encodes-again": (
        "encodings_count",
        "segmenter 'encodes-again' gives the same answer with another image's encoding, so "
        "it does not use the encoding that it asks for",
    ),
    "endless": (
        "refine_ends",
        "refine of prompt 'endless' still asks again after 25 rounds; return None when "
        "nothing is to be gained",
    ),
    "forgetful": (
        "options_survive_a_recipe",
        "the option 'share' of prompt 'forgetful' does not survive a recipe: it was 0.55 "
        "and is read back as 0.6",
    ),
    "half-a-pixel": (
        "a_hot_pixel_is_found",
        "the point of prompt 'half-a-pixel' at x=11.5, y=9.5, but the one hot pixel is x=11, "
        "y=9: it is off by half a pixel; whole numbers name pixel centres, so nothing is "
        "added to a column or row",
    ),
    "in-memory": (
        "a_run_that_goes_on_ends_alike",
        "writer 'in-memory' ends otherwise when a run is cut off and goes on, so it keeps "
        "something of finished pictures in memory; keep it in files (the file 'names.txt' "
        "differs)",
    ),
    "inventive": (
        "it_chooses_among_the_candidates",
        "selector 'inventive' gives prompt 0 a mask that is none of its candidates on the "
        "picture 'ordinary'; choose one with masks.take(indices), which keeps score, "
        "quality, name and prompt",
    ),
    "judge-by-place": (
        "the_order_of_masks_plays_no_part",
        "judge 'judge-by-place' judges the same masks otherwise when they come in reverse: its "
        "quality[0] is ",
    ),
    "judge-of-no-mask": (
        "an_ordinary_picture",
        "judge 'judge-of-no-mask' from segkit-wrong 1.0 should give each mask a quality, but gives "
        "none (on the picture 'ordinary')",
    ),
    "judge-that-cuts": (
        "an_ordinary_picture",
        "judge 'judge-that-cuts' from segkit-wrong 1.0 should leave the masks as they are and in "
        "their places, but changes them (on the picture 'ordinary')",
    ),
    "judge-that-scores": (
        "the_masks_stay_as_they_are",
        "judge 'judge-that-scores' changes the masks that it judges on the picture 'ordinary': "
        "their Masks.scores[",
    ),
    "encodings-in-reverse": (
        "encodings_of_a_batch_equal_single_ones",
        "segmenter 'encodings-in-reverse' answers otherwise with an encoding of encode_batch than "
        "with that of encode on the picture 'ordinary': its Masks.masks",
    ),
    "last-encoding": (
        "encodings_are_kept_apart",
        "segmenter 'last-encoding' answers with another image's encoding on the picture "
        "'ordinary': its Masks.masks",
    ),
    "misnamed": (
        "it_can_be_used",
        "'well-named' from segkit-wrong 1.0 could not be used: segkit_prompters should "
        "return a class with name = 'well-named', but returns 'misnamed'",
    ),
    "mutating": (
        "it_leaves_its_inputs_alone",
        "transform 'mutating' changes its input 'heatmap' on the picture 'ordinary'; make a"
        " copy and change that",
    ),
    "needs-neighbours": (
        "an_edge",
        "transform 'needs-neighbours' raises ValueError on the picture 'one-pixel': Shape "
        "of array too small to calculate a numerical gradient, at least (edge_order + 1) "
        "elements are required. (needs_neighbours.py, line 18)",
    ),
    "needs-encoding": (
        "an_ordinary_picture",
        "judge 'needs-encoding' asks for 'encoding', and nothing makes one; give it a default or "
        "define what makes it",
    ),
    "no-help": (
        "every_option_has_help",
        "the option 'share' of prompt 'no-help' has no help; write a docstring under the field",
    ),
    "not-a-number": (
        "an_edge",
        "transform 'not-a-number' fails on the picture 'even-heat': Heatmap.values should "
        "be finite, but holds NaN or infinity",
    ),
    "not-one-output": (
        "it_can_be_used",
        "'not-one-output' from segkit-wrong 1.0 could not be used: NotOneOutput.__call__ "
        "should be annotated to return Prompts, but says segkit.values.types.Prompts | None",
    ),
    "other-kind": (
        "an_ordinary_picture",
        "prompt 'other-kind' from segkit-wrong 1.0 should make Prompts, but made a list",
    ),
    "outside": (
        "an_ordinary_picture",
        "prompt 'outside' from segkit-wrong 1.0 should stay inside the 38x26 image, but points at "
        "x=38, y=0 (on the picture 'ordinary')",
    ),
    "own-ids": (
        "class_ids_are_the_data_sets",
        "fuser 'own-ids' calls the class id 1 'object 1', and the data set calls it 'cat'; "
        "take ids from the input 'classes' (segkit.add_class does)",
    ),
    "quits": (
        "an_edge",
        "prompt 'quits' raises SystemExit on the picture 'no-heat': 0 (quits.py, line 18)",
    ),
    "over-declared": (
        "figures_are_those_that_it_declares",
        "metric 'over-declared' declares the figure 'over-declared-*', and gives none like that "
        "for any of the kit's pictures; it gives over-declared",
    ),
    "promises-more": (
        "an_ordinary_picture",
        "finish of writer 'promises-more' names the file 'promises-more.txt', which is not there",
    ),
    "remembers": (
        "answers_do_not_depend_on_the_order_of_calls",
        "the answer of transform 'remembers' depends on what it was asked before: its "
        "Heatmap.values",
    ),
    "out-of-ten": (
        "an_ordinary_picture",
        "judge 'out-of-ten' fails on the picture 'ordinary': Masks.quality should lie from 0 to 1, "
        "but reaches from ",
    ),
    "rewording": (
        "admit_returns_some_of_its_prompts",
        "admit of prompt 'rewording' returns a prompt that it was not given on the picture "
        "'ordinary'; return some of its prompts as they are, and change them in refine",
    ),
    "set-not-count": (
        "counts_are_numbers",
        "metric 'set-not-count' from segkit-wrong 1.0 should make counts that are finite numbers, "
        "but its 'seen' is a set (on the picture 'ordinary')",
    ),
    "share-not-count": (
        "counts_add",
        "the counts of metric 'share-not-count' do not add: 'share-not-count' is 1 for a "
        "picture, and 2 for the same picture twice; count sums, and divide in score by how "
        "many were counted",
    ),
    "shared-randomness": (
        "it_leaves_the_libraries_randomness_alone",
        "prompt 'shared-randomness' draws from numpy.random, or seeds it, which other steps"
        " share; draw only from the input 'rng'",
    ),
    "shares-its-place": (
        "several_are_read_at_once",
        "dataset 'shares-its-place' gives another image than alone while other threads read "
        "others; keep nothing of one reading in the data set, or leave out 'concurrent'",
    ),
    "shares-state": (
        "two_work_at_once",
        "the answer of transform 'shares-state' depends on what another step does meanwhile, in "
        "another thread: its Heatmap.values",
    ),
    "shifted": (
        "mirrored",
        "transform 'shifted' does not give the mirrored answer where left and right are "
        "swapped: its Heatmap.values",
    ),
    "still-open": (
        "close_drops_what_open_loaded",
        "segmenter 'still-open' still holds _weights (a ndarray) after close(); set it to "
        "None there",
    ),
    "skips-what-it-knows": (
        "lost_files_are_made_again",
        "writer 'skips-what-it-knows' does not make 'ordinary.txt' again as it was where that was "
        "empty; write a picture's files whatever is there",
    ),
    "swapped": (
        "a_hot_pixel_is_found",
        "the point of prompt 'swapped' at x=9, y=11, but the one hot pixel is x=11, y=9: x "
        "and y are swapped; points are (column, row)",
    ),
    "trusts-no-file": (
        "its_files_are_intact",
        "is_intact of writer 'trusts-no-file' says that 'ordinary.txt', which it has just written, "
        "cannot be read; each run that goes on would do the image again",
    ),
    "two-of-a-name": (
        "names_are_different_texts",
        "dataset 'two-of-a-name' from segkit-wrong 1.0 should give each image a name of its own "
        "(see segkit.unique_names), but has 'a' twice",
    ),
    "undeclared": (
        "figures_are_those_that_it_declares",
        "metric 'undeclared' gives 'undeclared-error', and its figures do not tell of it; they "
        "tell of undeclared",
    ),
    "unpicklable": (
        "it_can_go_to_another_process",
        "prompt 'unpicklable' cannot be pickled, so it cannot go to another process: ",
    ),
    "unseeded": (
        "the_same_seed_gives_the_same_answer",
        "prompt 'unseeded' gives two answers on the picture 'ordinary' with the same seed: "
        "its Prompts.items[0].points[0, ",
    ),
    "wrong-dtype": (
        "an_ordinary_picture",
        "segmenter 'wrong-dtype' fails on the picture 'ordinary': Masks.masks should be "
        "bool, but is uint8",
    ),
    "wrong-file": (
        "files_are_there",
        "dataset 'wrong-file' says that image 0 comes from 'a.nowhere', and there is no such file",
    ),
    "wrong-way-up": (
        "a_right_result_beats_a_wrong_one",
        "'wrong-way-up' of metric 'wrong-way-up' is 0 for a perfect result and 1 for a "
        "wrong one; higher should be better, as its lower_is_better = False says",
    ),
}
"""Plugin to the test that finds the fault, and how its sentence begins (mostly all of it)."""


def kind_of(path: Path) -> str:
    """The kind of the plugin in a module, by its hook."""
    text = path.read_text(encoding="utf-8")
    return next(kind for hook, kind in KINDS.items() if f"def {hook}(" in text)


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, dict[str, str]]:
    """The kit run on all of them by pytest: plugin to the tests that fail, and what they say."""
    folder = tmp_path_factory.mktemp("wrong")
    metadata = folder / "segkit_wrong-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: segkit-wrong\nVersion: 1.0\n")
    points, tests = [], ["from segkit.testing import Conformance"]
    for path in sorted(WRONG.glob("*.py")):
        name = path.stem.replace("_", "-")
        entry = "well-named" if name == "misnamed" else name
        points += [f"[segkit.{kind_of(path)}]", f"{entry} = {path.stem}"]
        tests += [f"class Test_{path.stem}(Conformance):", f"    plugin = '{entry}'"]
    (metadata / "entry_points.txt").write_text("\n".join(points) + "\n")
    (folder / "test_wrong.py").write_text("\n".join(tests) + "\n")
    (folder / "conftest.py").write_text(FIRST)
    found = reported(folder, path=(folder, WRONG))
    return {
        plugin.replace("_", "-"): {name: text for name, text in tests.items() if text}
        for plugin, tests in found.items()
    }


def test_there_are_more_than_twenty_and_all_of_them_are_tried(said):
    modules = {path.stem.replace("_", "-") for path in WRONG.glob("*.py")}
    assert len(modules) > 20
    assert set(said) == modules == set(FOUND)


@pytest.mark.parametrize("plugin", FOUND)
def test_it_is_caught_and_the_message_says_what_is_wrong(said, plugin):
    test, sentence = FOUND[plugin]
    problems = said[plugin]
    own = [text for name, text in problems.items() if name.partition("[")[0] == test]
    assert own, f"not found by {test}, but by {problems}"
    assert any(text.startswith(sentence) for text in own), own


@pytest.mark.parametrize("plugin", FOUND)
def test_every_message_is_one_paragraph_about_the_plugin(said, plugin):
    for name, text in said[plugin].items():
        assert "\n" not in text, name
        assert "Traceback" not in text
        assert f"'{plugin}'" in text or "well-named" in text, text
