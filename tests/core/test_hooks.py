"""The hooks: each documented, one for each kind, those that watch in threes."""

from __future__ import annotations

import inspect

import pluggy

from segkit.kinds import KINDS
from segkit.plugins import hookspecs
from segkit.plugins.steps import INTERFACES

# ---- hooks --------------------------------------------------------------------------------------


def hooks():
    """Every hook specification by its name."""
    manager = pluggy.PluginManager("segkit")
    manager.add_hookspecs(hookspecs)
    return {name: caller.spec.function for name, caller in vars(manager.hook).items()}


def test_every_hook_is_documented():
    found = hooks()
    assert len(found) == 21
    for name, function in found.items():
        text = inspect.getdoc(function) or ""
        assert len(text.split()) >= 4, f"{name} should say when it is called or what it returns"


def test_every_registration_hook_has_a_kind():
    registering = {n for n, f in hooks().items() if not inspect.signature(f).parameters}
    assert registering == {kind.hook for kind in KINDS.values()}
    assert list(KINDS) == list(INTERFACES)
    for kind, hook in ((kind.name, kind.hook) for kind in KINDS.values()):
        returned = inspect.signature(hooks()[hook]).return_annotation
        assert returned == f"Sequence[type[{INTERFACES[kind].__name__}]]"


def test_watching_hooks_come_in_threes():
    watching = set(hooks()) - {kind.hook for kind in KINDS.values()}
    for what in ("step", "image", "run"):
        triple = {f"segkit_before_{what}", f"segkit_after_{what}", f"segkit_{what}_failed"}
        assert triple <= watching
        watching -= triple
    assert watching == {"segkit_worker_changed"}
