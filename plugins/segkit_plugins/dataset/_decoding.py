"""Images and masks whose files' contents are at hand, from an archive or over a network."""

from __future__ import annotations

from segkit.values.images import SUFFIXES as SUFFIXES
from segkit.values.images import decode_image as decode_image
from segkit.values.images import decode_mask as decode_mask
