"""Where the files of an image lie in a run of very many images."""

from __future__ import annotations

from segkit.values.spreading import levels_in as levels_in
from segkit.values.spreading import subfolder as subfolder
