"""RefineCAM: coarse maps of deep layers, sharpened by the fine ones of shallow layers."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import PositiveInt, PrivateAttr
from segkit import Catalog, Saliency, UsageError, hookimpl
from segkit_plugins.saliency import ClassActivationMap, Seen


class RefineCAM(ClassActivationMap):
    """RefineCAM (Domeniconi et al. 2026, "How to Evaluate and Refine your CAM").

    A class activation map of each of several layers, stretched to [0, 1] and resized bilinearly to
    the network's input; multiplied place by place. The deep layers say where the class is, the
    shallow ones where its edges are: what is hot in all of them stays. Each layer costs a forward
    and a backward pass. `layer` plays no part but in what a classifier needs to be opened. For all
    else see segkit's `gradcam`.
    """

    name = "refinecam"

    layers: tuple[str, ...] = ()
    """The layers, by their dotted names; left out: of the network's `stages` smallest sizes of map
    the last block with convolutions of each. --refinecam.layer list prints them."""
    stages: PositiveInt = 4
    """How many sizes of map take part where no layers are named."""
    method: Literal["gradcam-plus-plus", "gradcam", "hirescam", "layercam", "xgradcam"] = (
        "gradcam-plus-plus"
    )
    """What makes the map of each layer."""

    _looks: Any = PrivateAttr(())
    _combine: Any = PrivateAttr(None)

    def open(self, device: str) -> None:
        """Load the classifier. Raises `UsageError` also for a layer that gives no map."""
        super().open(device)
        method = Catalog(third_party=False).load("saliency", self.method)
        assert issubclass(method, ClassActivationMap)
        self._combine = method().combine
        self._look_at_layers()

    def restrict(self, names: Sequence[str]) -> None:
        """Look for these classes alone, as every classifier does."""
        super().restrict(names)
        self._look_at_layers()

    def close(self) -> None:
        """Drop the classifier."""
        super().close()
        self._looks, self._combine = (), None

    def _look_at_layers(self) -> None:
        names = self.layers or self._last_of_each_size()
        self._looks = [self.look_at(name, "layers") for name in names]

    def _last_of_each_size(self) -> list[str]:
        """The default layers, the deepest first."""
        layers = [layer for layer in self.find_layers() if layer.convolves]
        blocks = [layer for layer in layers if layer.name.count(".") <= 1]
        for some in (blocks, layers):  # inside a block sizes differ too, but what it leaves counts
            of_size = {layer.size: layer.name for layer in some}
            if len(of_size) > 1:
                return [of_size[size] for size in sorted(of_size)][: self.stages]
        raise UsageError(
            f"--{self.name}.model {self.model} has no maps of several sizes, one of which would "
            f"refine the other; name layers with --{self.name}.layers, or choose a network of "
            "convolutions"
        )

    def explain(self, seen: Seen) -> Any:
        """Maps (n, S, S), of the input's size: one for each of the rows and its class."""
        import torch
        import torch.nn.functional as F

        rows, product = list(seen.rows), None
        for look in self._looks:
            scores, activations = look(seen.pixels[rows])
            with torch.enable_grad():
                total = scores[list(range(len(rows))), list(seen.classes)].sum()
            (gradients,) = torch.autograd.grad(total, activations)
            own = _stretched(self._combine(activations.detach(), gradients))
            own = F.interpolate(own[:, None], seen.pixels.shape[-2:], mode="bilinear")[:, 0]
            own = _stretched(own)
            product = own if product is None else product * own
        return product


def _stretched(maps: Any) -> Any:
    """Maps (n, h, w), the least of each at 0 and its greatest at 1; a flat one stays at 0."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-12)


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """What this module adds to segkit."""
    return [RefineCAM]
