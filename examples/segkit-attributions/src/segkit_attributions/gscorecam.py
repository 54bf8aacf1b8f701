"""gScoreCAM: Score-CAM of those channels alone that a class score depends on most."""

from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt
from segkit import Saliency, hookimpl
from segkit_plugins.saliency import ClassActivationMap, Seen


class GScoreCAM(ClassActivationMap):
    """gScoreCAM (Chen et al. 2022, section 3.3) of an image classifier.

    Of the layer's channels the `channels` with the greatest mean gradient of the class score take
    part. Each of them, resized to the input and stretched to [0, 1], masks the picture; the class's
    scores of the masked pictures, through softmax over these channels, weight them, and their sum
    through ReLU is the map. With all channels it is segkit's `scorecam`; with fewer it is as many
    times quicker, and noise of the others stays out. (The authors' code lets the others take part
    with score 0; the paper leaves them out, as here.) For all else see segkit's `gradcam`.
    """

    name = "gscorecam"

    channels: PositiveInt = 300
    """How many channels take part, as in the paper; all of them where the layer has no more."""
    channels_at_once: PositiveInt = 32
    """How many masked pictures go through the network together; bounds memory."""

    def explain(self, seen: Seen) -> Any:
        """Maps (n, h, w): one for each of the rows and its class."""
        import torch

        rows = list(seen.rows)
        with torch.enable_grad():
            total = seen.scores[rows, list(seen.classes)].sum()
        (gradients,) = torch.autograd.grad(total, seen.activations, retain_graph=True)
        importance = gradients[rows].mean(dim=(2, 3))  # (n, C)
        count = min(self.channels, importance.shape[1])
        chosen = importance.argsort(dim=1, descending=True, stable=True)[:, :count]
        with torch.no_grad():
            maps = [
                self._scored(seen.pixels[row], seen.activations[row][own.sort().values], target)
                for row, own, target in zip(rows, chosen, seen.classes, strict=True)
            ]
        return torch.stack(maps)

    def _scored(self, pixels: Any, channels: Any, target: int) -> Any:
        """The map (h, w) of one picture (3, S, S), of channels (k, h, w), for one class."""
        import torch
        import torch.nn.functional as F

        scores = []
        for some in channels.split(self.channels_at_once):
            masks = F.interpolate(some[:, None], pixels.shape[-2:], mode="bilinear")
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = (masks - low) / (high - low + 1e-8)  # a flat channel hides all
            scores.append(self.network(pixels * masks)[:, target])
        weights = torch.cat(scores).softmax(dim=0)
        return (weights[:, None, None] * channels).sum(dim=0).relu()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """What this module adds to segkit."""
    return [GScoreCAM]
