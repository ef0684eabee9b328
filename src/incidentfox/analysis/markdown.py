"""Markdown as sections: what stands under each heading, in pieces that can be quoted whole.

Headings are those of CommonMark 0.31 (sections 4.2 and 4.3), outside of fenced code (4.5); nothing else of the format
matters here. Every function takes linear time, whatever the text. Used by the runbook search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NO_PARAGRAPH = re.compile(r"[ \t]*(?:[-*+>|#]|\d{1,9}[.)]|```|~~~|$)")


@dataclass(frozen=True, slots=True)
class MarkdownSection:
    """A piece of the text under its headings, outermost first. What stands before the first heading has none."""

    headings: tuple[str, ...]
    text: str


def read_sections(markdown: str, most: int) -> list[MarkdownSection]:
    """The sections with a text, in order. A longer text than `most` characters is parted between paragraphs."""
    sections: list[MarkdownSection] = []
    path: list[tuple[int, str]] = []
    body: list[str] = []

    def close() -> None:
        headings = tuple(text for _, text in path if text)
        sections.extend(MarkdownSection(headings, piece) for piece in _pieces(body, most))
        body.clear()

    for line, in_code in _lines(markdown):
        heading = None if in_code else _heading(line) or _underlined(line, body)
        if heading is None:
            body.append(line)
            continue
        level, text = heading
        if not line.lstrip().startswith("#"):
            body.pop()
        close()
        path = [*(one for one in path if one[0] < level), (level, text)]
    close()
    return sections


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to fenced code."""
    fence = ""
    for line in markdown.splitlines():
        mark = line.strip()
        if not fence and mark.startswith(("```", "~~~")):
            fence = mark[: len(mark) - len(mark.lstrip(mark[0]))]
            yield line, True
        elif fence:
            yield line, True
            if len(mark) >= len(fence) and not mark.strip(fence[0]):
                fence = ""
        else:
            yield line, False


def _heading(line: str) -> tuple[int, str] | None:
    """Level and text of a heading such as `## Mitigation`."""
    text = line.lstrip(" ")
    level = len(text) - len(text.lstrip("#"))
    rest = text[level:]
    if not 1 <= level <= 6 or len(line) - len(text) > 3 or (rest and not rest[0].isspace()):
        return None
    words = rest.strip()
    bare = words.rstrip("#")
    return level, bare.rstrip() if not bare or bare[-1].isspace() else words


def _underlined(line: str, body: list[str]) -> tuple[int, str] | None:
    """Level and text of a heading that is a paragraph of one line with `===` or `---` under it."""
    mark = line.strip()
    if len(mark) < 2 or mark.strip("=" if mark[0] == "=" else "-") or not body or _NO_PARAGRAPH.match(body[-1]):
        return None
    if len(body) > 1 and body[-2].strip():
        return None
    return (1 if mark[0] == "=" else 2), body[-1].strip()


def _pieces(lines: list[str], most: int) -> Iterator[str]:
    """The text of the lines in pieces of at most `most` characters: whole paragraphs where they fit, code unbroken."""
    piece = ""
    for paragraph in _paragraphs(lines):
        if piece and len(piece) + 2 + len(paragraph) > most:
            yield piece
            piece = ""
        piece = f"{piece}\n\n{paragraph}" if piece else paragraph
        while len(piece) > most:
            # A paragraph that is too long by itself: at the end of a line where there is one.
            cut = piece.rfind("\n", 1, most + 1)
            cut = cut if cut > 0 else most
            yield piece[:cut].rstrip()
            piece = piece[cut:].lstrip("\n")
    if piece.strip():
        yield piece


def _paragraphs(lines: list[str]) -> Iterator[str]:
    paragraph: list[str] = []
    for line, in_code in _lines("\n".join(lines)):
        if line.strip() or (in_code and paragraph):
            paragraph.append(line.rstrip())
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []
    if paragraph:
        yield "\n".join(paragraph)
