"""Every page has the same frame, says what went wrong and what to do next, and is small."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest
from tests.support.generate import ct, uid
from tests.support.web import Web, web

from vesalius.model.errors import IndexUnavailable, NotAuthorized
from vesalius.web.pages.shell import Shell

MOST = 150 * 1024  # bytes of own transfer, a page with all that it loads


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("shell")) as made:
        for number in range(60):
            made.archive.keep(ct(f"s{number}", 1, 1, patient_id=f"P-{number}", patient_name="Doe^Jane"))
        yield made


@pytest.mark.parametrize("address", ["/", "/system", f"/studies/{uid('study', 's1')}"])
def test_a_page_and_all_that_it_loads_is_small(served: Web, address: str) -> None:
    page = served.ask(address, headers={"accept-encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip"
    text = gzip.decompress(page.body).decode()
    total = len(page.body)
    loaded = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', text))
    base = next(iter(loaded)).rpartition("/")[0]
    loaded |= {f"{base}/{name}" for name in ("actions.js", "upload.js", "resume.js", "search.js")}
    for name in loaded:
        answer = served.ask(name, headers={"accept-encoding": "gzip"})
        assert answer.status == 200 and "immutable" in answer.headers["cache-control"]
        total += len(answer.body)
    assert total < MOST, total


@pytest.mark.parametrize(
    ("address", "status", "text"),
    [
        (f"/studies/{uid('study', 'none')}", 404, "It may not have arrived yet, or it was deleted."),
        ("/studies/x", 400, "the address holds no UID"),
        (f"/parts/studies/{uid('study', 'none')}", 404, "there is no such study"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(served: Web, address: str, status: int, text: str) -> None:
    answer = served.ask(address)
    assert answer.status == status and text in answer.text and "Back to Studies" in answer.text
    assert ("<html" in answer.text) is not address.startswith("/parts/")


@pytest.mark.parametrize(
    ("error", "status", "title", "next_"),
    [
        (NotAuthorized("you may not see this"), 403, "Not permitted", "Ask who administers this archive"),
        (IndexUnavailable("the database does not answer"), 503, "Not at this moment", "Try again"),
    ],
)
def test_no_right_and_no_database_have_pages_of_their_own(
    served: Web, error: Exception, status: int, title: str, next_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(served.ctx.search), "find", fails)
    answer = served.ask("/")
    assert answer.status == status and title in answer.text and next_ in answer.text


def test_the_rooms_are_the_same_on_every_page_and_say_where_one_is(served: Web) -> None:
    for address, here in (("/", "/"), ("/system", "/system"), (f"/studies/{uid('study', 's1')}", "/")):
        text = served.ask(address).text
        assert re.findall(r'<a href="([^"]+)" data-go="[a-z]" aria-current="page">', text) == [here]
        assert re.findall(r'data-go="([a-z])"', text)[0] == "l"


def test_addresses_stand_below_the_prefix_of_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> None:
    with web(tmp_path_factory.mktemp("prefix"), public_url="https://pacs.example.org/dicom") as made:
        text = made.ask("/").text
        assert set(re.findall(r'(?:href|src)="(/[a-z]*)', text)) == {"/dicom"}
        answer = made.ask("/language?to=de&back=/system")
        assert answer.headers["location"] == "/dicom/system" and "Secure" in answer.headers["set-cookie"]


def test_attention_is_asked_for_everywhere_and_empty_while_all_is_well(served: Web) -> None:
    assert served.ask("/parts/attention").text.strip() == ""
    served.site.found.append("volume: not writable")
    try:
        assert "1 thing needs attention" in served.ask("/parts/attention").text
        assert "volume: not writable" in served.ask("/system").text
    finally:
        served.site.found.clear()


def test_the_search_of_other_pages_answers_with_studies(served: Web) -> None:
    answer = served.ask("/parts/search?q=doe").text
    assert answer.count("<li>") == 8 and "All that fit" in answer
    assert "No study fits" in served.ask("/parts/search?q=nobody").text
    assert Shell(served.ctx).build in served.ask("/").text
