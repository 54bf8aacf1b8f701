"""The toys stand beside the tests that use them; packages that look installed; photos and a run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a distribution that looks installed: metadata, entry points and modules."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def make(distribution, points, modules=None, *, kind="prompt", version="1.0", api=None):
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata)
        rows = [f"[segkit.{kind}]", *(f"{name} = {target}" for name, target in points.items())]
        rows += [f"[segkit.api]\n{api} = x"] if api else []
        (info / "entry_points.txt").write_text("\n".join(rows) + "\n")
        for path, source in (modules or {}).items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8")
        return info

    yield make
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def photos(tmp_path):
    """A folder of the photos a, b and c."""
    from folder_toys import photographs

    return photographs(tmp_path / "photos", "a", "b", "c").parent


@pytest.fixture
def out(tmp_path, photos):
    """The folder of a run over `photos`."""
    from folder_toys import files
    from source_toys import Told

    Told(tmp_path / "out", files(photos))
    return tmp_path / "out"
