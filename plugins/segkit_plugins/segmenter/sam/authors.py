"""The modules of `segment_anything`, without its mask generator: `authors.modeling`, `.build_sam`.

The package's own `__init__` imports `SamAutomaticMaskGenerator`, which brings torchvision and with
that torch's compiler: longer than all else that a run imports. Here its folder is this package's
place for submodules, so that each is imported when it is named, and no other. They are modules of
this package: their classes are not those that `import segment_anything` has.
"""

from __future__ import annotations

from importlib.util import find_spec

_package = find_spec("segment_anything")
if _package is None or _package.submodule_search_locations is None:
    raise ModuleNotFoundError("No module named 'segment_anything'", name="segment_anything")

__path__ = [*_package.submodule_search_locations]
