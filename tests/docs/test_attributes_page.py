"""The page about attributes says what the table says."""

from __future__ import annotations

from pathlib import Path

from tools.generate_attributes_doc import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "attributes.md"


def test_the_page_of_attributes_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run tools/generate_docs.py"
