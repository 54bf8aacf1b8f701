"""Every bundled plugin keeps the contract of its kind: the kit for authors of plugins, on ours."""

from __future__ import annotations

from segkit import Catalog
from segkit.testing import Conformance

for entry in Catalog(third_party=False).entries():
    title = f"Test_{entry.kind}_{entry.name.replace('-', '_')}"
    of_ours = {"plugin": f"segkit:{entry.name}", "kind": entry.kind, "__module__": __name__}
    globals()[title] = type(title, (Conformance,), of_ours)
