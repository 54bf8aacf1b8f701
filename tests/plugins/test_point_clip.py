"""The segmenter point-clip: the mask of what lies under a click."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import PIL.Image
import pytest
import scipy.special
from click.testing import CliRunner

from segkit import Image, MissingExtraError, Prompt, Prompts, UsageError
from segkit.cli.main import make_group
from segkit_plugins.segmenter.point_clip import PointClip, expected_iou, on_object

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_clips import PATCH, SIDE, WIDTH, vision, write  # noqa: E402

from segkit import Examples  # noqa: E402
from segkit_plugins.segmenter._clip_net import gaussians  # noqa: E402

SIZE = (48, 80)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("clip")
    vision(where)
    return where


@pytest.fixture(scope="module")
def weights(folder, tmp_path_factory):
    """A random network whose answers differ much from place to place and from click to click."""
    step = PointClip(model=str(folder), levels=2)
    torch.manual_seed(4)
    network = step.network(2)
    with torch.no_grad():
        network.head.weight.normal_(0, 3)
        for level in network.decoder.levels:
            for layer in level:
                if layer.__class__.__name__ == "BatchNorm2d":
                    layer.running_var.fill_(0.01)
    return write(step, tmp_path_factory.mktemp("w") / "w.safetensors", ("a",), SIDE, network)


@pytest.fixture(scope="module")
def step(weights):
    opened = PointClip(weights=weights)
    opened.open("cpu")
    return opened


@pytest.fixture(scope="module")
def picture():
    return Image(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8), "p")


def asked(step, picture, *prompts):
    return step(image=picture, prompts=Prompts(prompts), encoding=step.encode(picture))


def alone(step, picture, *points):
    """Logits of clicks by the way that training goes: the whole network at once, at its size."""
    both = step.logits([picture] * len(points), points)
    return both[:, 1] - both[:, 0]


def test_a_gaussian_is_1_at_its_point_and_falls_as_defined():
    heat = gaussians(torch.tensor([[3.0, 5.0], [0.5, 8.25]]), (10, 12), 2.0)
    assert heat.shape == (2, 1, 10, 12)
    assert heat[0, 0, 5, 3] == 1
    for (x, y), made in (((3, 5), heat[0, 0]), ((0.5, 8.25), heat[1, 0])):
        for row, column in ((0, 0), (9, 11), (5, 5), (8, 1)):
            wanted = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * 2.0**2))
            assert float(made[row, column]) == pytest.approx(wanted, abs=1e-6)


def test_the_click_goes_through_clip_as_a_picture(folder):
    network = PointClip(model=str(folder), levels=2, sigma=0.4).network(2).eval()
    seen = []
    network.decoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    point = torch.tensor([[20.0, 9.0]])
    with torch.no_grad():
        network(pixels, point)
        heat = gaussians(point, (SIDE, SIDE), 0.4 * PATCH)
        wanted = torch.cat([network.tokens(pixels), network.tokens(heat.repeat(1, 3, 1, 1))], dim=1)
    assert wanted.shape == (1, 2 * WIDTH, SIDE // PATCH, SIDE // PATCH)
    torch.testing.assert_close(seen[0], wanted)


def test_two_clicks_of_a_picture_go_through_clip_once_and_come_to_the_same(folder):
    step = PointClip(model=str(folder), levels=2)
    network = step.network(2).eval()
    rng = torch.Generator().manual_seed(3)
    pixels = torch.rand(2, 3, SIDE, SIDE, generator=rng).repeat_interleave(2, 0)
    points = torch.rand(4, 2, generator=rng) * SIDE
    target = torch.randint(0, 2, (4, SIDE, SIDE), generator=rng)
    counts = []
    network.tokens.register_forward_pre_hook(lambda module, given: counts.append(len(given[0])))
    with torch.no_grad():
        loss, logits = step.loss(
            network,
            "segment",
            Examples(pixels, target, points),
            torch.nn.functional.cross_entropy,
        )
        assert counts == [2, 4]  # two pictures, four clicks
        wanted = network(pixels, points)
        torch.testing.assert_close(logits, wanted)
        assert float(loss) == pytest.approx(
            float(torch.nn.functional.cross_entropy(wanted, target)), rel=1e-5
        )
        counts.clear()
        other = torch.rand(4, 3, SIDE, SIDE, generator=rng)
        _, logits = step.loss(
            network, "segment", Examples(other, target, points), torch.nn.functional.cross_entropy
        )
        assert counts == [4, 4]
        torch.testing.assert_close(logits, network(other, points))


def test_each_prompt_gets_one_mask_of_the_images_size(step, picture):
    points = [(10, 5), (70, 40), (33, 20)]
    prompts = [Prompt(points=[p], name=n) for p, n in zip(points, ("a", None, "b"), strict=True)]
    masks = asked(step, picture, *prompts)
    assert masks.masks.shape == (3, *SIZE)
    assert masks.names == ("a", None, "b")
    assert masks.prompt.tolist() == [0, 1, 2]
    assert masks.logits.shape == (3, 16, 16)  # 4×4 patches, two levels
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(masks.logits.copy())[None], SIZE, mode="bilinear"
    )[0]
    assert (masks.masks == (wanted > 0).numpy()).mean() > 0.999
    assert 0.02 < masks.masks.mean() < 0.98
    assert (masks.masks[0] != masks.masks[1]).mean() > 0.01
    trained = alone(step, picture, *points)
    low = torch.nn.functional.interpolate(
        torch.from_numpy(masks.logits.copy())[:, None], (SIDE, SIDE), mode="bilinear"
    )[:, 0]
    torch.testing.assert_close(low, trained, rtol=1e-3, atol=1e-2)


def test_many_prompts_are_the_same_as_single_ones(step, picture):
    """Points are asked some at a time."""
    rng = np.random.default_rng(1)
    prompts = [Prompt(points=rng.uniform(0, 47, (n, 2))) for n in (1, 30, 2, 20, 1)]
    together = asked(step, picture, *prompts)
    for i, prompt in enumerate(prompts):
        single = asked(step, picture, prompt)
        np.testing.assert_allclose(together.logits[i], single.logits[0], rtol=1e-3, atol=1e-3)


def test_several_points_are_averaged_and_background_points_take_what_they_claim(step, picture):
    a, b, c, d = (
        asked(step, picture, Prompt(points=[p])).logits[0]
        for p in ((10, 5), (70, 40), (33, 20), (60, 3))
    )
    points, signs = [(10, 5), (33, 20), (70, 40), (60, 3)], [True, False, True, False]
    found = asked(step, picture, Prompt(points=points, signs=signs))
    on, off = (a + b) / 2, np.maximum(c, d)
    np.testing.assert_allclose(found.logits[0], np.minimum(on, on - off), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.logits[0] > 0, (on > 0) & (on > off))
    kept = asked(step, picture, Prompt(points=[(10, 5), (70, 40)]))
    np.testing.assert_allclose(kept.logits[0], on, rtol=1e-3, atol=1e-3)


def test_a_box_is_asked_by_its_middle_and_shuts_out_the_rest(step, picture):
    free = asked(step, picture, Prompt(points=[(30, 20)])).masks[0]
    found = asked(step, picture, Prompt(box=[20, 10, 40, 30]))
    inside = np.zeros(SIZE, bool)
    inside[10:31, 20:41] = True
    assert not found.masks[0][~inside].any()
    assert np.array_equal(found.masks[0][inside], free[inside])
    pointed = asked(step, picture, Prompt(points=[(22, 12)], box=[20, 10, 40, 30])).masks[0]
    other = asked(step, picture, Prompt(points=[(22, 12)])).masks[0]
    assert np.array_equal(pointed[inside], other[inside])


def test_a_box_smaller_than_a_low_pixel_and_one_that_cuts_them(step, picture):
    rows, columns = np.indices(SIZE)
    low = asked(step, picture, Prompt(points=[(30, 20)])).logits.shape[-1]
    cell = SIZE[1] / low
    assert cell > 1
    sure = asked(step, picture, Prompt(points=[(30, 20)])).masks[0]
    assert sure.any()
    row, column = np.argwhere(sure)[len(np.argwhere(sure)) // 2].tolist()
    tiny = asked(step, picture, Prompt(points=[(30, 20)], box=[column, row, column, row]))
    assert np.argwhere(tiny.masks[0]).tolist() == [[row, column]]
    assert tiny.scores[0] > 0
    box = [21, 11, 40, 30]
    cut = asked(step, picture, Prompt(points=[(30, 20)], box=box)).masks[0]
    inside = (columns >= 21) & (columns <= 40) & (rows >= 11) & (rows <= 30)
    assert np.array_equal(cut, sure & inside)


def test_a_coarse_mask_is_asked_by_the_place_of_its_largest_logit(step, picture):
    mask = np.full((6, 10), -3, np.float32)
    mask[2, 7] = 4
    found = asked(step, picture, Prompt(mask=mask))
    assert on_object(Prompt(mask=mask), SIZE).tolist() == [[59.5, 19.5]]  # cells of 8×8 pixels
    same = asked(step, picture, Prompt(points=[(59.5, 19.5)]))
    np.testing.assert_allclose(found.logits, same.logits, rtol=1e-4, atol=1e-4)


def test_prompts_that_name_no_place_on_the_object_get_no_mask(step, picture):
    nothing = Prompt(points=[(3, 3)], signs=[False])
    masks = asked(step, picture, nothing, Prompt(), Prompt(points=[(9, 9)]))
    assert masks.prompt.tolist() == [2]
    assert len(asked(step, picture, nothing)) == 0
    assert len(asked(step, picture)) == 0


def test_scores_are_the_iou_that_the_probabilities_expect(step, picture):
    chances = torch.tensor([[0.9, 0.6], [0.5, 0.25]])
    logits = torch.log(chances / (1 - chances))
    logits[1, 0] = -1e-9  # not above 0
    assert expected_iou(logits) == pytest.approx((0.9 + 0.6) / (2 + 0.5 + 0.25))
    assert expected_iou(torch.full((2, 2), -50.0)) == 0
    assert expected_iou(torch.tensor([[50.0, -50.0]])) == pytest.approx(1)
    masks = asked(step, picture, Prompt(points=[(10, 5)]))
    p = scipy.special.expit(masks.logits[0].astype(float))
    m = masks.logits[0] > 0
    assert masks.scores[0] == pytest.approx(p[m].sum() / (m.sum() + p[~m].sum()), abs=1e-4)


@pytest.mark.slow
def test_it_learns_to_answer_the_click(folder):
    """Two halves of any colours: the one that was clicked, after some steps on 16 pictures."""
    step = PointClip(model=str(folder), levels=2)
    torch.manual_seed(0)
    network = step.network(2)
    rng = np.random.default_rng(0)
    pixels = torch.rand(16, 3, 1, 2, generator=torch.Generator().manual_seed(1))
    pixels = pixels.repeat_interleave(SIDE, 2).repeat_interleave(SIDE // 2, 3)
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    left = torch.arange(SIDE) < SIDE // 2

    def batch():
        points = torch.from_numpy(rng.uniform(0, SIDE - 1, (32, 2)).astype(np.float32))
        on_left = points[:, :1] < SIDE / 2 - 0.5
        target = (on_left == left)[:, None].expand(-1, SIDE, -1).long()
        return Examples(pixels.repeat_interleave(2, 0), target, points)

    losses = []
    for _ in range(80):
        loss, _ = step.loss(network, "segment", batch(), torch.nn.functional.cross_entropy)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    examples = batch()
    with torch.no_grad():
        found = network(examples.pixels, examples.points).argmax(1)
    clear = (examples.points[:, 0] - (SIDE / 2 - 0.5)).abs() > 3
    assert (found == examples.target)[clear].float().mean() > 0.9


def sentence(work, kind=UsageError):
    with pytest.raises(kind) as info:
        work()
    return str(info.value)


def test_without_weights_it_says_how_to_make_some():
    assert sentence(lambda: PointClip().open("cpu")) == (
        "--segmenter point-clip needs --point-clip.weights FILE; to make one: segkit train "
        "point-clip --dataset D -o FILE"
    )


def test_channels_that_cannot_be_halved_so_often(tmp_path, folder):
    import transformers

    config = transformers.CLIPVisionConfig.from_pretrained(folder)
    config.hidden_size = 36
    transformers.CLIPVisionModel(config).save_pretrained(tmp_path)
    step = PointClip(model=str(tmp_path), levels=4)
    assert sentence(lambda: step.network(2)) == (
        "--point-clip.levels 4 would halve the 72 channels of the tokens too often; give fewer"
    )


def test_a_model_that_is_nowhere_and_a_library_that_is_not_there(monkeypatch, weights):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert sentence(lambda: PointClip(model="owner/no-clip").network(2)).endswith(
        "or run: segkit weights fetch hf:owner/no-clip"
    )
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert sentence(lambda: PointClip(weights=weights).open("cpu"), MissingExtraError) == (
        f"--point-clip.weights {weights} needs transformers, which is not installed; run: pip "
        "install 'segkit[hf]'"
    )


@pytest.mark.parametrize("prompter", ["topk", "box", "maxmin"])
def test_any_prompter_drives_it(weights, picture, tmp_path, monkeypatch, prompter):
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(picture.pixels).save("p.png")
    words = f"run p.png --segmenter point-clip --point-clip.weights {weights} --quiet -o out"
    words += f" --prompt {prompter} --gradcam.model shapes"
    done = CliRunner().invoke(make_group(), words.split())
    assert done.exit_code == 0, (done.output, done.exception)
    assert np.asarray(PIL.Image.open("out/masks/p.png")).shape == SIZE
    (line,) = (tmp_path / "out/results.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == "ok"
