"""Write the tree of the sources, with each module's duty, into the architecture page."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src/vesalius"
PAGE = REPOSITORY / "docs/explanation/architecture.md"
BLOCK = re.compile(r"(<!-- tree -->\n).*?(<!-- /tree -->)", re.DOTALL)


def duty(module: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return first if len(first) <= 130 else textwrap.shorten(first, 130, placeholder=" ...")


def tree() -> str:
    """One table a package, floors from the ground up."""
    order = ["standard", "model", "wire", "ports", "archive", "dimse", "web", "backends", "app", "cli"]
    packages = sorted(
        (path.parent for path in SOURCE.glob("*/__init__.py")),
        key=lambda path: (order.index(path.name) if path.name in order else len(order), path.name),
    )
    parts = []
    for package in packages:
        modules = sorted(
            path for path in package.rglob("*.py") if path.name != "__init__.py" and "versions" not in path.parts
        )
        rows = "\n".join(f"| `{path.relative_to(package).with_suffix('')}` | {duty(path)} |" for path in modules)
        parts.append(
            f"**{package.name}**: {duty(package / '__init__.py')}\n\n| module | duty |\n| --- | --- |\n{rows}\n"
        )
    return "\n".join(parts)


def main() -> int:
    """Rewrite the block."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + tree() + found[2], text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
