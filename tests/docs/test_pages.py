"""The documents are true: links lead somewhere, the tree is the tree on disk, commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support.data import REPOSITORY
from tools.tree import tree

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^\s*(?:\|\s*)?vesalius ([a-z][a-z0-9]*)(?: ([a-z]+))?", re.MULTILINE)


def fenced(text: str, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_something_that_is_there(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:", "#")):
            continue
        path = (page.parent / target.split("#")[0]).resolve()
        assert path.exists(), f"{page.name} links to {target}"


def test_the_tree_in_the_architecture_page_is_the_tree_on_disk() -> None:
    page = (REPOSITORY / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- tree -->\n(.*?)<!-- /tree -->", page, flags=re.DOTALL)
    assert found is not None
    assert found[1] == tree(), "run `make docs`"


def test_every_command_in_the_pages_exists() -> None:
    used = set()
    for page in PAGES:
        for block in fenced(page.read_text(encoding="utf-8"), "sh"):
            used |= {match[1] for match in COMMAND.finditer(block)}
    assert used, "the pages show no command at all"
    for command in sorted(used):
        done = subprocess.run(
            [sys.executable, "-m", "vesalius", command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"vesalius {command} --help: {done.stderr}"


def test_every_make_target_in_the_pages_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`?make ([a-z-]+)`?", "\n".join(fenced(page.read_text(encoding="utf-8"), "sh"))):
            assert target in targets, f"{page.name}: make {target}"


def test_every_configuration_example_is_accepted(tmp_path: Path) -> None:
    from vesalius.app.settings_load import load

    found = 0
    for page in PAGES:
        for block in fenced(page.read_text(encoding="utf-8"), "toml"):
            tomllib.loads(block)
            file = tmp_path / "vesalius.toml"
            file.write_text(block)
            load(config=file, environment={})
            found += 1
    assert found


def test_no_page_names_a_machine_or_a_registry() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/root/|pypi\.org/simple|registry\.npmjs|deb\.debian\.org", text), page.name
