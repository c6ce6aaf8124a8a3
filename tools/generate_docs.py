"""Write the generated pages of docs/reference again. With --check: say which ones are not current, change nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"


def pages() -> dict[str, Callable[[], str]]:
    """File name -> the function that says what it must hold."""
    sys.path.insert(0, str(REFERENCE.parents[1]))  # run as a script, this folder is on the path and its parent is not
    from tools import generate_attributes_doc
    from vesalius.app import documents
    from vesalius.cli import reference

    return {**documents.pages(), "cli.md": reference.page, "attributes.md": generate_attributes_doc.page}


def main() -> int:
    """0 when everything is (or was made) current."""
    check = "--check" in sys.argv[1:]
    stale = 0
    for name, make in pages().items():
        path = REFERENCE / name
        text = make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not check:
            REFERENCE.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        sys.stderr.write(f"{path.relative_to(REFERENCE.parents[1])} {'is not current' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
