"""A batch in micro-batches: the same step, whether they were chosen or memory ran out."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from train_toys import Clicked, Linear, Squares, curve, quick  # noqa: E402

from segkit import SegkitError, UsageError  # noqa: E402
from segkit.memory import HostMemory  # noqa: E402
from segkit.training import loop  # noqa: E402
from segkit.training.losses import Criterion, MicroBatchCriterion  # noqa: E402
from segkit.training.micro_batches import averaging, split, untouched  # noqa: E402
from segkit.training.progress import Watcher  # noqa: E402
from segkit.training.settings import terms_of  # noqa: E402


class Plain(Linear):
    """Without batch normalisation, and without anything random."""

    name = "plain"

    def network(self, classes):
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))


class Notes(Watcher):
    def __init__(self, stop_after=99):
        self.notes, self.memories, self.steps, self.rows = [], [], [], 0
        self.stop_after = stop_after

    def note(self, text):
        self.notes.append(text)

    def memory(self, text):
        self.memories.append(text)

    def epoch(self, row):
        self.rows += 1

    def step(self, examples):
        self.steps.append(examples)
        if self.rows == self.stop_after:
            raise KeyboardInterrupt


class Scarce(HostMemory):
    """As if an image took 1 MB, and there were room for so many."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def free(self):
        return int(self.images * 10**6)

    def taken(self, run):
        run()
        return run.args[0] * 10**6


def losses(done):
    return [(row["train_loss"], row["validation_loss"]) for row in done.rows]


# ---- one step ----------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.5])])
@pytest.mark.parametrize("loss", ["cross-entropy", "focal", "dice", "cross-entropy+0.5*dice"])
def test_losses_and_gradients_add_up_to_the_batchs(loss, weights, each):
    """Sizes of micro-batches differ, and so does what is void in them; it is called twice."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, 5, 6, generator=generator)
    target = torch.randint(0, 3, (7, 5, 6), generator=generator)
    target[torch.rand(7, 5, 6, generator=generator) < torch.linspace(0, 1, 7)[:, None, None]] = 255
    plain = Criterion(terms_of(loss), weights, 2.0, each)

    def total(criterion, x, y):
        return criterion(x, y) + 0.3 * criterion(x * 2, y) + 0.1 * x.square().mean()

    whole = logits.clone().requires_grad_()
    wanted = total(plain, whole, target)
    wanted.backward()

    criterion = MicroBatchCriterion(plain, target.byte())
    assert criterion.collects == ("dice" in loss and not each)
    parts = split([logits, target], 3)
    assert [len(x) for x, _ in parts] == [3, 2, 2]
    if criterion.collects:
        with criterion.collecting():
            for x, y in parts:
                criterion.begin(y)
                total(criterion, x, y)
    found, gradients = 0.0, []
    for x, y in parts:
        criterion.begin(y)
        part = x.clone().requires_grad_()
        value = total(criterion, part, y) * len(x) / 7
        value.backward()
        found += float(value.detach())
        gradients.append(part.grad)
    assert found == pytest.approx(wanted.item(), abs=1e-5)
    torch.testing.assert_close(torch.cat(gradients), whole.grad, rtol=1e-4, atol=1e-7)
    mean = sum(float(total(plain, x, y).detach()) * len(x) / 7 for x, y in parts)
    exact_anyway = loss == "dice" and each
    assert (mean == pytest.approx(wanted.item(), abs=1e-5)) == exact_anyway


def test_of_another_target_the_loss_is_the_micro_batchs():
    criterion = MicroBatchCriterion(
        Criterion(terms_of("cross-entropy+dice"), None, 2.0), torch.zeros(4, 8, 8).byte()
    )
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    criterion.begin(torch.zeros(2, 8, 8).long())
    plain = Criterion(terms_of("cross-entropy+dice"), None, 2.0)
    assert criterion(logits, target) == plain(logits, target)


def test_running_averages_go_as_far_as_in_one_batch():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=None))
    layer = network[0]
    before = layer.running_mean.clone()
    pixels = torch.randn(8, 3, 4, 4) + torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    mean = pixels.mean((0, 2, 3))
    with averaging(network, 4):
        for _ in range(4):
            layer(pixels)
    torch.testing.assert_close(layer.running_mean, 0.9 * before + 0.1 * mean)
    assert (layer.momentum, network[1].momentum) == (0.1, None)
    with averaging(network, 1):
        assert layer.momentum == 0.1


def test_a_pass_for_sums_leaves_averages_and_random_numbers_as_they_were():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    with untouched(network):
        assert not network(torch.randn(2, 3, 4, 4)).requires_grad
    assert torch.equal(torch.rand(2), wanted)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


# ---- a training --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_of", "more"),
    [
        (Plain, {}),
        (Plain, {"loss": "dice"}),
        (Plain, {"loss": "focal+0.5*dice", "class_weights": ("red=3,background=0.2",)}),
        (Clicked, {}),
        (Clicked, {"loss": "cross-entropy+dice"}),
    ],
)
def test_the_curve_is_the_same_without_batch_normalisation(made_of, more, tmp_path):
    """With void pixels, and batches of 8, 8 and 3 images."""
    given = {"data": [Squares(count=21)], "batch": 8, "border": "void", "balance": False, **more}
    one = quick(tmp_path / "1.safetensors", made_of(), **given)
    assert one.micro_batches == {"segment": 8}
    for images in (3, 1):
        watch = Notes()
        path = tmp_path / f"m{images}.safetensors"
        parts = quick(path, made_of(), micro_batch=images, watch=watch, **given)
        assert parts.micro_batches == {"segment": images}
        assert max(watch.steps) == images
        assert sum(watch.steps) == 19 * 3
        for found, wanted in zip(losses(parts), losses(one), strict=True):
            assert found == pytest.approx(wanted, abs=2e-6)
        assert "in micro-batches of" in path.with_suffix(".md").read_text()


@pytest.mark.parametrize("loss", ["cross-entropy", "cross-entropy+dice"])
def test_rounded_to_bfloat16_micro_batches_learn_the_same(loss, tmp_path):
    """What autocast keeps of a pass without gradients would leave the weights without any."""
    given = {"precision": "bfloat16", "loss": loss, "batch": 8, "epochs": 6}
    one = quick(tmp_path / "1.safetensors", Plain(), **given)
    parts = quick(tmp_path / "m.safetensors", Plain(), micro_batch=3, **given)
    for found, wanted in zip(losses(parts), losses(one), strict=True):
        assert found == pytest.approx(wanted, abs=3e-3)
    assert losses(one)[0][0] - losses(one)[-1][0] > 0.05


def test_batch_normalisation_sees_micro_batches_and_the_card_says_so(tmp_path):
    given = {"data": [Squares(count=21)], "batch": 8}
    one = quick(tmp_path / "1.safetensors", **given)
    watch = Notes()
    parts = quick(tmp_path / "m.safetensors", micro_batch=4, watch=watch, **given)
    assert losses(parts)[0] != pytest.approx(losses(one)[0], abs=1e-4)
    assert losses(parts)[-1] == pytest.approx(losses(one)[-1], abs=0.1)
    (text,) = watch.memories
    assert text.startswith(
        "batch of 8 in micro-batches of 4 images, over which batch normalisation takes its "
        "averages; up to "
    )
    card = (tmp_path / "m.md").read_text()
    assert (
        "| batch | 8, in micro-batches of 4; batch normalisation takes its averages over each of "
        "them |"
    ) in card
    assert "| batch | 8 |" in (tmp_path / "1.md").read_text()
    assert "| memory | " in card
    assert "[record.micro_batches]\nsegment = 4" in (tmp_path / "m.toml").read_text()


def greedy(at, training):
    """A network's class for which memory does not do with so many images."""

    class Greedy(Plain):
        name = "greedy"

        def network(self, classes):
            network = super().network(classes)

            def forward(module, given):
                if module.training in training and len(given[0]) >= at:
                    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

            network.register_forward_pre_hook(forward)
            return network

    return Greedy()


@pytest.mark.parametrize("training", [(True,), (False,), (True, False)])
def test_out_of_memory_halves_the_micro_batches_and_goes_on(training, tmp_path):
    given = {"data": [Squares(count=30)], "batch": 10, "split": 0.4}
    watch = Notes()
    done = quick(tmp_path / "x.safetensors", greedy(4, training), watch=watch, **given)
    assert watch.notes == [
        "memory ran out with 10 images at a time; it goes on with 5 (--train.micro-batch)",
        "memory ran out with 5 images at a time; it goes on with 3 (--train.micro-batch)",
    ]
    assert done.micro_batches == {"segment": 3}
    one = quick(tmp_path / "1.safetensors", Plain(), **given)
    for found, wanted in zip(losses(done), losses(one), strict=True):
        assert found == pytest.approx(wanted, abs=2e-6)


def test_out_of_memory_with_one_image_is_told_before_it_begins(tmp_path):
    with pytest.raises(SegkitError) as error:
        quick(tmp_path / "x.safetensors", greedy(1, (True,)))
    assert str(error.value).startswith(
        "training greedy at 32 px needs more for a single image than the "
    )
    assert not list(tmp_path.iterdir())


def test_out_of_memory_with_one_image_in_the_middle(tmp_path):
    class Later(Plain):
        name = "later"

        def loss(self, network, stage, examples, criterion):
            if type(criterion) is MicroBatchCriterion:  # which a trial has not
                raise MemoryError
            return super().loss(network, stage, examples, criterion)

    with pytest.raises(SegkitError) as error:
        quick(tmp_path / "x.safetensors", Later(), micro_batch=1)
    assert str(error.value) == (
        "training later stopped: there is too little memory (MemoryError); no weights are kept "
        "yet: lower --train.size, or end other programs"
    )


def test_each_stage_has_its_own(tmp_path, monkeypatch):
    class Two(Linear):
        name = "two"
        stages = ("first", "second")

        def begin(self, network, stage):
            network[0].requires_grad_(stage == "first")

    class Stepped(Scarce):
        """The second stage takes a quarter."""

        def taken(self, run):
            return super().taken(run) // (4 if run.func.stage == "second" else 1)

    monkeypatch.setattr(loop, "memory_of", lambda device: Stepped(400))
    watch = Notes()
    done = quick(tmp_path / "x.safetensors", Two(), batch=512, epochs=1, watch=watch)
    assert [text.split(" at the peak")[0].split(";")[0] for text in watch.memories] == [
        "first: batch of 512 in micro-batches of 256 images, over which batch normalisation takes "
        "its averages",
        "second: batch of 512 in one pass",
    ]
    assert done.micro_batches == {"first": 256, "second": 512}
    assert "512, in micro-batches of 256 (first); batch" in (tmp_path / "x.md").read_text()


# ---- going on ----------------------------------------------------------------------------------


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


GIVEN = {"data": None, "batch": 8, "epochs": 4}


def begun(path, monkeypatch, free):
    """A training that was cut off in its third epoch, on a machine with room for few images."""
    monkeypatch.setattr(loop, "memory_of", lambda device: Scarce(free))
    with pytest.raises(KeyboardInterrupt):
        quick(path, watch=Notes(stop_after=2), **GIVEN)
    monkeypatch.undo()


@pytest.mark.usefixtures("one_thread")
def test_a_training_that_goes_on_keeps_its_micro_batches(tmp_path, monkeypatch):
    """Also where there is more memory by now."""
    whole = quick(tmp_path / "whole.safetensors", micro_batch=2, **GIVEN)
    path = tmp_path / "x.safetensors"
    begun(path, monkeypatch, 2.7)
    watch = Notes()
    done = quick(path, resume=True, watch=watch, **GIVEN)
    assert done.micro_batches == {"segment": 2}
    assert watch.notes == []
    assert "in micro-batches of 2 images" in watch.memories[0]
    assert curve(path) == curve(whole.path)
    assert path.read_bytes() == whole.path.read_bytes()
    with pytest.raises(UsageError, match="is finished"):
        quick(path, resume=True, **GIVEN)


def test_a_training_that_goes_on_with_less_memory_says_so(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    begun(path, monkeypatch, 10**6)
    monkeypatch.setattr(loop, "memory_of", lambda device: Scarce(5))
    watch = Notes()
    done = quick(path, resume=True, watch=watch, **GIVEN)
    assert done.micro_batches == {"segment": 4}
    assert watch.notes == [
        "before, 8 images were computed at a time, for which memory is short now; with "
        "4 the curve goes on a little differently"
    ]


@pytest.mark.usefixtures("one_thread")
def test_a_checkpoint_of_before_there_were_micro_batches(tmp_path, monkeypatch):
    """It had all in one pass."""
    whole = quick(tmp_path / "whole.safetensors", **GIVEN)
    path = tmp_path / "x.safetensors"
    begun(path, monkeypatch, 10**6)
    state = torch.load(path.with_suffix(".ckpt"), weights_only=True)
    said = json.loads(state["segkit"])
    del said["micro_batches"], said["normalised"], said["asked"]["train.micro_batch"]
    torch.save({**state, "segkit": json.dumps(said)}, path.with_suffix(".ckpt"))
    done = quick(path, resume=True, **GIVEN)
    assert done.micro_batches == {"segment": 8}
    assert curve(path) == curve(whole.path)


def test_a_loss_of_its_own_is_averaged_by_images(tmp_path):
    """As the docs of `Trainable.loss` say."""

    class Own(Plain):
        name = "own"

        def loss(self, network, stage, examples, criterion):
            logits = network(examples.pixels)
            shrunk = F.avg_pool2d(examples.pixels.mean(1, keepdim=True), 4)
            return (F.avg_pool2d(logits[:, :1], 4) - shrunk).square().mean(), None

    given = {"data": [Squares(count=21)], "batch": 8, "loss": "dice"}
    one = quick(tmp_path / "1.safetensors", Own(), **given)
    parts = quick(tmp_path / "m.safetensors", Own(), micro_batch=3, **given)
    for found, wanted in zip(losses(parts), losses(one), strict=True):
        assert found == pytest.approx(wanted, abs=2e-6)
