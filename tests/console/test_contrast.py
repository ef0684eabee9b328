"""The palette: every pair of colours that carries text or marks a control is measured, in light and in dark.

Formula: relative luminance and contrast ratio of WCAG 2.2, sections 1.4.3 and 1.4.11.
"""

from __future__ import annotations

import re

import pytest

from incidentfox.console.assets import load_assets

TEXT, CONTROL = 4.5, 3.0

PAIRS = [
    *((text, ground, TEXT) for text in ("text", "muted", "accent", "ok", "bad", "warn", "live") for ground in
      ("canvas", "surface", "sunken")),
    *((tone, f"{tone}-soft", TEXT) for tone in ("accent", "ok", "bad", "warn", "live")),
    ("text", "ok-soft", TEXT),
    ("muted", "ok-soft", TEXT),
    ("text", "accent-soft", TEXT),
    ("muted", "accent-soft", TEXT),
    ("accent-hover", "canvas", TEXT),
    ("accent-hover", "surface", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-hover", TEXT),
    ("on-accent", "bad", TEXT),
    ("on-mark", "mark", TEXT),
    ("border-strong", "surface", CONTROL),
    ("border-strong", "canvas", CONTROL),
    ("focus", "canvas", CONTROL),
    ("focus", "surface", CONTROL),
    ("plot-line", "surface", CONTROL),
    ("plot-line", "plot-after", CONTROL),
    ("accent", "plot-after", TEXT),
]  # fmt: skip


def palettes() -> dict[str, dict[str, str]]:
    """The colours of each theme; dark inherits what it does not set."""
    sheet = load_assets()["theme.css"].content.decode()
    light_part, dark_part = sheet.split("@media (prefers-color-scheme: dark)")
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light_part))
    return {"light": light, "dark": light | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark_part))}


def luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground", "least"), PAIRS, ids=lambda value: str(value))
def test_pair(theme: str, text: str, ground: str, least: float) -> None:
    palette = palettes()[theme]
    assert contrast(palette[text], palette[ground]) >= least


def test_dark_theme_sets_every_colour_of_its_own() -> None:
    light, dark = palettes().values()
    assert [name for name in light if light[name] == dark[name]] == []


def test_style_sheets_name_no_colour_outside_the_palette() -> None:
    assets = load_assets()
    for name in ("console.css", "run.css", "configuration.css"):
        sheet = assets[name].content.decode()
        assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", sheet) == []
        used = set(re.findall(r"var\(--([a-z-]+)\)", sheet)) - {"sans", "mono", "shadow", "tone", "tone-soft", "depth"}
        assert used <= palettes()["light"].keys()
