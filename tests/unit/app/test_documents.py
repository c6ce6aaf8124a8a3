"""The generated pages are current, and the conformance statement lists what is negotiated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.generate_docs import REFERENCE, pages

from vesalius.app.conformance import statement
from vesalius.app.settings_load import settings_of
from vesalius.dimse import contexts
from vesalius.model.attributes import ATTRIBUTES
from vesalius.standard import sop_classes as sop

UID = re.compile(r"^\| ([0-2]\.[0-9.]+) \|", re.MULTILINE)


@pytest.mark.parametrize("name", pages())
def test_a_generated_page_is_current(name: str) -> None:
    assert Path(REFERENCE, name).read_text(encoding="utf-8") == pages()[name](), "run `make docs`"


def test_every_setting_is_on_the_page() -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    for info in settings_of():
        assert f"| `{info.path.rpartition('.')[2]}` |" in page


def section(text: str, head: str) -> str:
    return re.split(r"^#{2,3} ", text.split(f"# {head}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_statement_lists_exactly_the_services_that_are_negotiated() -> None:
    listed = set(UID.findall(section(statement(), "1 Overview")))
    negotiated = {
        uid for uid in sop.SOP_CLASSES if not sop.is_storage(uid) and contexts.service_for(uid, None) is not None
    }
    assert listed == negotiated


def test_the_statement_lists_every_storage_class_that_is_known_by_name_and_taken() -> None:
    listed = set(UID.findall(section(statement(), "9.1 Storage SOP classes known by name")))
    taken = {uid for uid in sop.SOP_CLASSES if sop.is_storage(uid) and contexts.service_for(uid, None) is not None}
    assert listed == taken == set(sop.STORAGE)


def test_the_statement_lists_the_transfer_syntaxes_in_the_order_of_preference() -> None:
    listed = UID.findall(section(statement(), "7.1 Transfer syntaxes"))
    assert listed == [*contexts.STORAGE_PREFERENCE, *contexts.SERVICE_PREFERENCE]
    service = contexts.service_for(sop.CT_IMAGE, None)
    assert service is not None and service.transfer_syntaxes == contexts.STORAGE_PREFERENCE


def test_the_statement_lists_every_key_of_the_table() -> None:
    text = statement()
    for row in ATTRIBUTES:
        assert f"| {row.name_of_tag} | {row.keyword} |" in text
