"""What a metric says of its figures, whether less is better and their unit, and who is asked.

A figure has the reading that its metric declares under its exact name, or else under the longest
beginning of it. No other place knows what a figure's name means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from segkit.errors import BadValueError, PluginError

if TYPE_CHECKING:
    from segkit.plugins.steps import Metric

_AnyMetric = TypeVar("_AnyMetric", "Metric", "type[Metric]")


@dataclass(frozen=True)
class Figure:
    """How a metric's figure is to be read. Raises `BadValueError` for parts of another type."""

    lower_is_better: bool = False
    """Whether less is better, as for errors and distances."""
    unit: str = ""
    """What is written behind the number, such as px; empty for shares and plain numbers."""
    by_name: bool = False
    """Whether it compares classes by their names, so that it says nothing where no class that was
    found has a name of the truth's; a run then gives no such figure."""
    background: bool | None = None
    """Of a figure that tells classes apart, whether background is one of them; None: it tells none
    apart. Such a figure has a protocol (see `running.protocols`)."""
    resolution: str = ""
    """At which size pixels are counted, such as '448 px'; empty: at the truth's own."""

    def __post_init__(self) -> None:
        if not isinstance(self.lower_is_better, bool):
            raise BadValueError(
                f"Figure.lower_is_better should be True or False, not {self.lower_is_better!r}"
            )
        if not isinstance(self.by_name, bool):
            raise BadValueError(f"Figure.by_name should be True or False, not {self.by_name!r}")
        if not (self.background is None or isinstance(self.background, bool)):
            raise BadValueError(
                f"Figure.background should be True, False or None, not {self.background!r}"
            )
        for name, example in (("unit", "px"), ("resolution", "448 px")):
            if not isinstance(text := getattr(self, name), str):
                raise BadValueError(
                    f"Figure.{name} should be a text such as '{example}', not {text!r}"
                )


def figure_of(metrics: Iterable[Metric | type[Metric]], name: str) -> Figure:
    """How the figure of this name is to be read; `metrics` are those that may have made it.

    An exact name wins, then the longest beginning. A figure that none of them claims is as their
    classes' `lower_is_better` says, if they agree: that of the one metric that is known to make it.
    """
    classes = [_class_of(metric) for metric in metrics]
    claim = _closest(classes, name)
    if claim is not None:
        return claim[1]
    return Figure(lower_is_better=bool(classes) and all(cls.lower_is_better for cls in classes))


def metric_of(metrics: Iterable[_AnyMetric], name: str) -> _AnyMetric | None:
    """The metric among these that claims the figure of this name; None where none does."""
    claim = _closest(metrics, name)
    return None if claim is None else claim[0]


def claims_of(metric: Metric | type[Metric]) -> Mapping[str, Figure]:
    """Name of a figure, or its beginning and `*`, to how it is to be read.

    A metric that declares no figures claims its own name, and what begins with it and a hyphen.
    """
    cls = _class_of(metric)
    figure = Figure(lower_is_better=cls.lower_is_better)
    return declared_figures(cls) or {cls.name: figure, f"{cls.name}-*": figure}


def declared_figures(cls: type[Metric]) -> Mapping[str, Figure]:
    """The figures that a metric declares; what a base with another name declares is its own."""
    declaring = next(base for base in cls.__mro__ if "figures" in vars(base))
    return cls.figures if getattr(declaring, "name", "") in ("", cls.name) else {}


def check_figures(cls: type[Metric]) -> None:
    """Raise `PluginError` unless a metric's `figures` map names to `Figure`."""
    figures = cls.figures
    if not isinstance(figures, Mapping):
        raise PluginError(
            f"{cls.__name__}.figures should map names to segkit.Figure, but is {figures!r}"
        )
    for name, figure in figures.items():
        if not isinstance(name, str) or "*" in name[:-1] or not isinstance(figure, Figure):
            raise PluginError(
                f"{cls.__name__}.figures should map names, or beginnings that end in *, to "
                f"segkit.Figure, but has {name!r}: {figure!r}"
            )


def _closest(metrics: Iterable[_AnyMetric], name: str) -> tuple[_AnyMetric, Figure] | None:
    """The metric that claims a figure, and how that is to be read; of equal claims the last."""
    claims = {
        key: (metric, figure) for metric in metrics for key, figure in claims_of(metric).items()
    }
    if name in claims:
        return claims[name]
    beginnings = [key for key in claims if key.endswith("*") and name.startswith(key[:-1])]
    return claims[max(beginnings, key=len)] if beginnings else None


def _class_of(metric: Metric | type[Metric]) -> type[Metric]:
    """Its class: an option may be called as a class attribute is, and hides it in the instance."""
    return metric if isinstance(metric, type) else type(metric)
