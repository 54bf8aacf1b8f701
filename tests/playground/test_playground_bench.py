"""What the page shows: controls, stages, pictures, and a sentence where something fails."""

from __future__ import annotations

import html
import io
import re
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, Image, Labels, Masks, Prompt, Prompts, Recipe, SegkitError
from segkit.kinds import SWEPT
from segkit.running.interactive import Trial
from segkit.running.recipe import Part
from segkit_ui.playground.form import Click, Form, form_of
from segkit_ui.playground.shots import FIRST, SECOND, Artist, Shot, overlap

BLIND = {"saliency": (), "transform": ()}


def with_step(form: Form, kind: str, name: str, **options: str) -> Form:
    """The form with this step as the only one of its kind."""
    steps = [s.model_dump() for s in form.sides[0].steps if s.kind != kind]
    steps.append({"kind": kind, "name": name, "options": options})
    return form_of({**form.model_dump(), "sides": [{**form.sides[0].model_dump(), "steps": steps}]})


def two(form: Form, other: Form) -> Form:
    return form_of({**form.model_dump(), "sides": [form.sides[0], other.sides[0]]})


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def test_the_page_starts_with_the_defaults_and_shows_each_stage(bench_of):
    bench = bench_of()
    form = bench.start()
    page = bench.stages(form)
    assert re.findall(r'data-stage="([^"]*)"', page) == [
        *("Saliency", "Transform", "Prompts", "Candidates", "Selected", "Result")
    ]
    assert page.count("data:image/jpeg;base64,") >= 7
    assert "gradcam &gt; objectness-prior &gt; components &gt; sam" in page


def test_menus_hold_what_list_plugins_holds(bench_of):
    bench = bench_of()
    for kind in SWEPT:
        offered = [name for name, _ in bench.offered(kind)]
        assert len(offered) == len(bench.catalog.entries(kind))
        for name, entry in bench.offered(kind):
            assert bench.catalog.find(kind, name) == entry
    assert "mine:middle" in [name for name, _ in bench.offered("prompt")]


def test_a_third_partys_plugin_has_its_options_and_runs(bench_of):
    bench = bench_of()
    form = with_step(bench.start(), "prompt", "mine:middle", shift="0.2")
    controls = bench.controls(form)
    assert 'data-field="shift"' in controls
    assert 'min="-0.4" max="0.4"' in controls
    assert '<option value="angry">' in controls
    assert "How far to the right" in controls
    page = bench.stages(form)
    assert "middle" in page
    assert 'role="alert"' not in page
    assert "Nothing reads heatmaps here, so saliency is left out." in page


def test_a_plugin_that_raises_is_a_sentence_and_the_page_lives_on(bench_of):
    bench = bench_of()
    form = bench.start()
    angry = with_step(form, "prompt", "mine:middle", mood="angry")
    page = bench.stages(angry)
    assert "RuntimeError: not &lt;b&gt;today&lt;/b&gt;" in page
    assert "<b>today" not in page
    assert 'role="alert"' not in bench.stages(form)


def test_stages_before_the_one_that_fails_are_shown(bench_of, tmp_path):
    bench = bench_of()
    form = with_step(bench.start(), "segmenter", "sam", checkpoint=str(tmp_path / "none.pth"))
    page = bench.stages(form)
    assert re.findall(r'data-stage="([^"]*)"', page) == [
        *("Saliency", "Transform", "Prompts", "Candidates")
    ]
    assert page.count('role="alert"') == 1


@pytest.mark.parametrize(
    ("kind", "name", "options", "said"),
    [
        ("prompt", "topk", {"k": "0"}, "Invalid value for --topk.k"),
        ("prompt", "erase", {}, "erase only refines what another prompter asks"),
        ("prompt", "boxes", {}, "prompt 'boxes' needs --boxes.file"),
        ("prompt", "nobody", {}, "no prompt plugin has that name"),
        ("segmenter", "threshold", {}, "are never read"),
    ],
)
def test_a_recipe_that_does_not_work_says_why(bench_of, kind, name, options, said):
    bench = bench_of()
    page = bench.stages(with_step(bench.start(), kind, name, **options))
    assert said in text_of(page)
    assert 'role="alert"' in page
    assert "data-clickable" in page  # the photo is there all the same


def test_two_recipes_are_compared_pixel_by_pixel(bench_of):
    bench = bench_of()
    one = with_step(bench.start(), "prompt", "center")
    assert "0 pixels differ (0 %) · IoU 1.00" in bench.stages(two(one, one))
    other = with_step(bench.start(), "prompt", "mine:middle", shift="0.4")
    page = bench.stages(two(one, other))
    assert re.search(r"[1-9][\d,]* pixels differ", page)
    assert page.count('class="command"') == 2
    assert 'data-file="recipe-b.toml"' in page
    assert 'data-tab="1"' in bench.controls(two(one, other))


def test_ones_own_clicks_stand_beside_the_recipes_answer(bench_of):
    bench = bench_of()
    form = bench.start().model_copy(update={"clicks": (Click(x=0.375, y=0.5),)})
    page = bench.stages(form)
    assert re.search(r"your clicks · score \d\.\d\d · IoU \d\.\d\d with the recipe", page)
    blind = with_step(form, "segmenter", "threshold")
    steps = [step for step in blind.sides[0].steps if step.kind != "prompt"]
    blind = blind.model_copy(
        update={"sides": (blind.sides[0].model_copy(update={"steps": steps}),)}
    )
    assert "clicks say nothing to it" in text_of(bench.stages(blind))


def test_a_click_on_the_edge_stays_in_the_image(bench_of):
    bench = bench_of()
    clicks = (Click(x=1, y=1), Click(x=0, y=0, on=False))
    page = bench.stages(bench.start().model_copy(update={"clicks": clicks}))
    assert "By your clicks" in page
    assert 'role="alert"' not in page


def test_names_are_escaped(bench_of):
    bench = bench_of()
    form = bench.start()
    (key,) = (key for key, name in bench.photos.menu if name.startswith("a<b>"))
    for page in (bench.controls(form), bench.stages(form.model_copy(update={"photo": key}))):
        assert "a&lt;b&gt;&amp;{{7}}" in page
        assert "<b>&" not in page


def test_photos_are_known_by_keys_alone(bench_of, photos):
    bench = bench_of()
    for key in ("2", "-1", "x", "../disc.png", str(next(photos.iterdir()))):
        with pytest.raises(SegkitError, match="not on the menu"):
            bench.photos.load(key)
    assert bench.photos.load("0") is bench.photos.load("0")


def test_an_upload_is_checked_as_any_image_and_is_first_on_the_menu(bench_of, photos, tmp_path):
    bench = bench_of()
    key = bench.photos.add(photos / "disc.png")
    assert bench.photos.menu[0] == (key, "disc")
    assert 'role="alert"' not in bench.stages(bench.start().model_copy(update={"photo": key}))
    (tmp_path / "no.jpg").write_text("nothing")
    with pytest.raises(BadImageError, match=r"^'no.jpg' is not an image"):
        bench.photos.add(tmp_path / "no.jpg")
    assert len(bench.photos.menu) == 3


def test_photos_have_a_limit(bench_of, photos, monkeypatch):
    monkeypatch.setattr("segkit_ui.playground.photos.UPLOADS", 2)
    monkeypatch.setattr("segkit_ui.playground.photos.LOADED", 1)
    bench = bench_of()
    keys = [bench.photos.add(photos / "disc.png") for _ in range(4)]
    assert [key for key, _ in bench.photos.menu[:2]] == keys[:1:-1]
    assert len(bench.photos._loaded) == 2
    with pytest.raises(SegkitError, match="not on the menu"):
        bench.photos.load(keys[0])


# ---- pictures -----------------------------------------------------------------------------------


IMAGE = Image(np.full((60, 80, 3), 100, np.uint8), "grey")


def trial(**ends) -> Trial:
    return Trial(IMAGE, None, (), 0.0, **ends)  # type: ignore[arg-type]


def square(left: int, right: int, name: str = "cat") -> Labels:
    ids = np.zeros((60, 80), np.int32)
    ids[10:50, left:right] = 1
    return Labels(ids, {1: name})


def test_differing_pixels_are_counted_at_full_size_and_coloured_by_side():
    artist = Artist(IMAGE)
    shot = artist.difference(trial(labels=square(10, 40)), trial(labels=square(20, 50)))
    assert shot.words == "800 pixels differ (17 %) · IoU 0.50"
    y, x = artist.scale.points(np.array([[12, 30], [45, 30], [30, 30]]))[:, ::-1].T.astype(int)
    assert [tuple(shot.picture[i, j]) for i, j in zip(y, x, strict=True)] == [
        FIRST,
        SECOND,
        (120, 120, 120),
    ]


def test_the_same_pixels_of_another_class_differ():
    artist = Artist(IMAGE)
    shot = artist.difference(trial(labels=square(10, 40)), trial(labels=square(10, 40, "dog")))
    assert shot.words == "1,200 pixels differ (25 %) · IoU 1.00"
    assert artist.difference(trial(labels=square(10, 40)), trial()) is None


def test_class_maps_are_compared_by_name_not_by_number():
    first, second = square(10, 40), square(10, 40)
    moved = Labels(np.where(second.ids == 1, 7, 0), {7: "cat"})
    shot = Artist(IMAGE).difference(trial(labels=first), trial(labels=moved))
    assert shot.words.startswith("0 pixels differ")


def test_without_class_maps_the_masks_are_compared():
    mask = np.zeros((1, 60, 80), bool)
    mask[0, :30] = True
    half = Masks(mask, [0.5], [0])
    shot = Artist(IMAGE).difference(trial(masks=half), trial(masks=Masks.none((60, 80))))
    assert shot.words == "2,400 pixels differ (50 %) · IoU 0.00"
    assert overlap(mask[0], mask[0]) == overlap(~mask[0] & mask[0], mask[0] & ~mask[0]) == 1


def test_one_differing_pixel_of_a_large_photo_can_be_seen():
    image = Image(np.zeros((3000, 4000, 3), np.uint8), "large")
    ids = np.zeros((3000, 4000), np.int32)
    other = ids.copy()
    other[1500, 2000] = 1
    one, two = (replace(trial(labels=Labels(i, {1: "cat"})), image=image) for i in (ids, other))
    shot = Artist(image).difference(one, two)
    assert shot.words.startswith("1 pixel differs")
    assert (shot.picture == SECOND).all(axis=2).sum() == 1
    assert max(shot.picture.shape) <= 640


def test_prompts_are_drawn_and_told():
    mask = np.full((6, 8), -5, np.float32)
    mask[2:4] = 5
    prompts = Prompts(
        (
            Prompt(points=[(5, 5), (9, 9)], signs=[True, False], box=(2, 2, 30, 30)),
            Prompt(points=[(50, 30)], mask=mask),
        )
    )
    artist = Artist(IMAGE)
    shot = artist.prompts(prompts)
    assert shot.words == "2 prompts: 2 points, 1 background point, 1 box, 1 coarse mask"
    assert not np.array_equal(shot.picture, artist.photo)
    assert artist.prompts(Prompts()).words == "nothing is asked"


def test_a_shot_is_a_jpeg_in_the_page():
    import base64

    head, _, data = Shot("", IMAGE.pixels).address.partition(",")
    assert head == "data:image/jpeg;base64"
    with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (80, 60)


def test_many_masks_are_counted_where_they_have_no_room(bench_of):
    bench = bench_of(Recipe({"segmenter": (Part("sam-everything", {"points_per_side": 8}),)}))
    page = bench.stages(bench.start())
    assert 'role="alert"' not in page
    masks = np.zeros((40, 60, 80), bool)
    masks[:, 5:9, 5:9] = True
    many = Masks(masks, np.linspace(0, 1, 40), np.arange(40))
    from segkit.running.interactive import Stage

    shots, more = Artist(IMAGE).shots(Stage("segmenter", (), many), trial(masks=many.take([3])))
    assert (len(shots), more) == (12, 28)
    assert [shot.chosen for shot in shots].index(True) == 3
