"""The small part of SVG that the plots need: escaped elements, scales, and ticks at round numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from mlship.report import figures


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """One element; text and attributes are escaped, `Markup` children are not. `class_` is `class`, `_` is `-`."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(coordinate(value) if isinstance(value, float) else value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{said}>{''.join(escape(child) for child in children)}</{name}>")


def coordinate(value: float) -> str:
    """A tenth of a unit is finer than anybody sees."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from values to places."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, padding: float = 0.0) -> Scale:
        """Fits all finite values, with a share of their span free at both ends."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
            around = abs(low) / 2 or 0.5
            low, high = low - around, high + around
        free = (high - low) * padding
        return cls(low - free, high + free, start, end)

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the scale, 1, 2 or 5 times a power of ten apart; about so many."""
        raw = (self.high - self.low) / max(1, about)
        power = 10.0 ** math.floor(math.log10(raw))
        step = next((power * size for size in (1, 2, 5) if power * size >= raw * 0.999), power * 10)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def tick_labels(ticks: list[float]) -> list[str]:
    """As many decimals as the distance of two ticks asks for, and no more."""
    if len(ticks) < 2:
        return [figures.number(tick) for tick in ticks]
    step = ticks[1] - ticks[0]
    largest = max(map(abs, ticks))
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if size <= largest < size * 1e3 and step >= size / 1e4:
            return [f"{tick / size:g}{unit if tick else ''}" for tick in ticks]
    if largest >= 1e6 or step < 1e-5:
        return [f"{tick:.6g}" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick + 0.0:,.{decimals}f}" for tick in (0.0 if abs(tick) < step / 1e6 else tick for tick in ticks)]
