"""What the pages say of commands and settings is so: every option of a shown command, every setting by its name."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from tests.docs.test_pages import PAGES, fenced
from tests.support.data import REPOSITORY

from vesalius.app.settings_load import settings_of

PLACES = [*PAGES, *(REPOSITORY / "deploy").iterdir()]
GROUPS = {
    "peers": ("add", "list", "remove", "test"),
    "hl7": ("list", "show", "replay", "queues", "send"),
    "simulate": ("hospital",),
    "volume": ("info", "export", "hu", "fuse"),
    "ris": (
        "worklist",
        "events",
        "stations",
        "rooms",
        "procedures",
        "patients",
        "orders",
        "schedule",
        "reconcile",
        "performed",
        "discontinue",
    ),
    "ris stations": ("add", "list", "remove"),
    "ris rooms": ("add", "list"),
    "ris procedures": ("add", "list", "remove"),
    "ris patients": ("add", "list", "merge", "merges", "unmerge"),
    "ris orders": ("add", "list", "cancel"),
    "ris schedule": ("add", "list", "move", "state"),
    "ris reconcile": ("list", "show", "repair", "accept", "undo"),
}
KNOWN = {info.path.replace("[]", "") for info in settings_of()}
TABLES = {path.split(".")[0] for path in KNOWN if "." in path}
# `server.dimse_port`, `[[store.copies]]`: a table's name, a dot, a word; not a file name.
SETTING = re.compile(rf"`\[*((?:{'|'.join(sorted(TABLES))})\.[a-z_]+)[^`]*`")
VARIABLE = re.compile(r"\bVESALIUS_[A-Z_]+\b")


@cache
def help_of(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vesalius", *words, "--help"],
        capture_output=True, text=True, timeout=60, check=False, env={"COLUMNS": "300", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def commands(text: str) -> list[list[str]]:
    """The words of every `vesalius` command in the shell blocks of a page."""
    found = []
    for block in fenced(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            parts = re.split(r"\||&&|;|\bdo\b", line.partition(" #")[0])
            shown = [part for part in parts if re.match(r"\s*(\.venv/bin/)?vesalius [a-z]", part)]
            found += [shlex.split(part.partition(">")[0])[1:] for part in shown]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_option_of_a_shown_command_exists(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        name = words[:1]
        while (group := " ".join(name)) in GROUPS:
            assert words[len(name)] in GROUPS[group], words
            name = words[: len(name) + 1]
        for word in words:
            if word.startswith("--"):
                option = word.partition("=")[0]
                assert re.search(rf"{re.escape(option)}\b", help_of(*name)), f"{page.name}: {' '.join(words)}: {option}"


@pytest.mark.parametrize("page", PLACES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    source = REPOSITORY / "src" / "vesalius"
    modules = {name for name in SETTING.findall(text) if (source / f"{name.replace('.', '/')}.py").exists()}
    wrong = set(SETTING.findall(text)) - KNOWN - modules
    assert not wrong, f"{page.name}: {sorted(wrong)}"


@pytest.mark.parametrize("page", PLACES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_variable_that_a_page_names_exists(page: Path) -> None:
    known = {info.environment for info in settings_of()} | {"VESALIUS_CONFIG"}
    words = {name for name in VARIABLE.findall(page.read_text(encoding="utf-8")) if name not in known}
    tests = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("*.py"))
    wrong = {name for name in words if f'"{name}"' not in tests and not name.endswith("_")}
    assert not wrong, f"{page.name}: {sorted(wrong)}"


def test_the_options_of_the_units_and_images_exist() -> None:
    for name in ("vesalius.service", "Containerfile"):
        text = (REPOSITORY / "deploy" / name).read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if re.match(r"(ExecStart=|CMD )", line) and "serve" in line)
        options = re.findall(r"--[a-z-]+", line)
        assert options
        for option in options:
            assert re.search(rf"{option}\b", help_of("serve")), f"{name}: {option}"
