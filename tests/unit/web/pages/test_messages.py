"""No text of a page escapes its catalogue, and every language has all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from tests.support.generate import ct, uid
from tests.support.ris import Hospital, by
from tests.support.web import Web, web

from vesalius.model.orders import Priority
from vesalius.model.steps import StepVerb
from vesalius.ris import schedule
from vesalius.web.pages.messages import CATALOGUES, LANGUAGES, PSEUDO, Messages, language_of, pseudo
from vesalius.web.pages.rooms import ROOMS

PAGES = files("vesalius.web.pages")
LOCALES = sorted(str(each.name) for each in (PAGES / "locales").iterdir())
TEMPLATES = {each.name: each.read_text(encoding="utf-8") for each in (PAGES / "templates").iterdir()}
SCRIPTS = {
    each.name: each.read_text(encoding="utf-8") for each in (PAGES / "static").iterdir() if each.name.endswith(".js")
}
PLACES = re.compile(r"\{([a-z]+)\}")

STUDY, SERIES = uid("study", "now"), uid("series", "now", 1)
INSTANCES = [uid("instance", "now", 1, number) for number in (1, 2)]
ADDRESSES = (
    "/",
    "/?q=nobody",
    "/?sort=name&dir=desc",
    "/system",
    "/tracking",
    "/hl7",
    "/reconcile",
    "/reconcile?state=all",
    "/commitments",
    "/hl7?way=out&state=held",
    f"/studies/{STUDY}",
    f"/studies/{STUDY}/fusion",
    f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCES[0]}/tags",
    f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCES[0]}/compare?with={INSTANCES[1]}",
    "/studies/1.2.3",
    "/studies/x",
    f"/parts/studies/{STUDY}",
    "/parts/search?q=pseudo",
    "/parts/search?q=nobody",
    "/schedule",
    "/schedule?view=week",
    "/schedule?modality=XX",
    "/schedule/steps/1",
    "/parts/schedule/steps/2",
    "/arrivals",
    "/arrivals?q=nobody",
    "/orders/new",
    "/orders/new?patient=1&procedure=CTHEAD%5C99V",
    "/orders/1",
    "/parts/orders/patients?q=nobody",
    "/parts/orders/twins?family=Same&given=Name&born=19700101",
)
# What stands on these pages and is no text of ours: values of the made data, names of things, figures.
DATA = re.compile(
    r"Vesalius|VESALIUS|SELF|[A-Z]{2}|RTSTRUCT|[KMGT]iB|B|Pseudo, Patient|PSEUDO|127\.0\.0\.1|DICOM CT|HEAD"
    r"|SUV|mm|PgUp|PgDn|Series"
    r"|HIS|EMR"
    r"|other|GYN|RAD|head|room|SQLite|English|Deutsch|Esc|Enter|echoscu.*|/ready|/metrics|openapi\.json"
    r"|Test text|[a-zA-Z]"
    r"|[0-9A-Za-z.:@/^ -]*[0-9][0-9A-Za-z.:@/^ -]*"
)
MONTHS = CATALOGUES["en"]["form.months"].split()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_places(language: str) -> None:
    english, own = CATALOGUES["en"], CATALOGUES[language]
    assert sorted(own) == sorted(english)
    assert [key for key in own if not own[key].strip()] == []
    differing = [
        key
        for key in own
        if not key.startswith("form.") and sorted(PLACES.findall(own[key])) != sorted(PLACES.findall(english[key]))
    ]
    assert differing == []


def test_no_two_catalogues_have_one_key() -> None:
    for language in LANGUAGES:
        keys = [
            key
            for name in LOCALES
            if name.endswith(f".{language}.json")
            for key, _ in json.loads((PAGES / "locales" / name).read_text(encoding="utf-8"), object_pairs_hook=list)
        ]
        assert sorted(keys) == sorted(set(keys))


def test_every_text_that_a_template_names_is_there() -> None:
    used = {key for text in TEMPLATES.values() for key in re.findall(r"\bt\(\s*'([^']+)'\s*[,)]", text)}
    assert used and sorted(used - set(CATALOGUES["en"])) == []
    begun = {key for text in TEMPLATES.values() for key in re.findall(r"\bt\(\s*'([^']+)'\s*~", text)}
    assert [key for key in begun if not any(each.startswith(key) for each in CATALOGUES["en"])] == []
    assert [room.name for room in ROOMS if f"room.{room.name}" not in CATALOGUES["en"]] == []


def test_every_text_that_a_script_says_is_there() -> None:
    known = set()
    for key in CATALOGUES["en"]:
        if key.startswith("js."):
            first, *rest = re.split(r"[.-]", key[3:])
            known.add(first + "".join(part.title() for part in rest))
    used = {
        key
        for text in SCRIPTS.values()
        for key in (*re.findall(r"\btexts\.([A-Za-z]+)", text), *re.findall(r"\bsay\('([A-Za-z]+)'", text))
    }
    assert used and sorted(used - known) == []


@pytest.mark.parametrize(
    ("header", "chosen", "language"),
    [
        ("", "", "en"),
        ("de-AT,de;q=0.9,en;q=0.5", "", "de"),
        ("fr,de;q=0.3,en;q=0.4", "", "en"),
        ("fr", "", "en"),
        ("en-XA", "", PSEUDO),
        ("de;q=what, *;q=0", "", "en"),
        ("en", "de", "de"),
        ("de", "en", "en"),
        ("de", "<script>", "de"),
    ],
)
def test_the_language_is_what_was_chosen_or_the_best_that_is_accepted(header: str, chosen: str, language: str) -> None:
    assert language_of(header, chosen) == language


def test_figures_and_plurals_are_of_the_language() -> None:
    english, german = Messages("en"), Messages("de")
    assert english("count", count=1) == "1 study" and german("count", count=1) == "1 Studie"
    assert english("count", count=1234567) == "1,234,567 studies"
    assert german("count", count=1234567) == "1.234.567 Studien"
    assert english("no such key") == "no such key"
    assert german.told("there is no such study") == "Diese Studie gibt es nicht."
    assert german.told("a disk is on fire") is None and english.told("a disk is on fire") == "a disk is on fire"


def test_the_pseudo_language_keeps_places() -> None:
    assert pseudo("{count} of us") == "⟦{count} öf ûs⟧"
    assert PLACES.findall(pseudo("{count} of {total} elements")) == ["count", "total"]
    assert Messages(PSEUDO)("count", count=2).startswith("⟦2 ")


class Texts(HTMLParser):
    """All that a person reads or hears of a page."""

    SPOKEN = ("aria-label", "title", "placeholder", "alt")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._stack: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("meta", "link", "input", "img", "br", "path", "rect", "circle", "polyline", "html"):
            # Values of patients stand in <bdi>; what is told in English by the deeper floors says so.
            quiet = tag in ("bdi", "script", "style") or "uid" in (given.get("class") or "").split() or "lang" in given
            self._stack.append((tag, quiet or bool(self._stack and self._stack[-1][1])))
        spoken = [given.get(name) for name in self.SPOKEN]
        if given.get("id") == "texts":
            spoken += [value for name, value in attrs if name.startswith("data-")]
        if not (self._stack and self._stack[-1][1] and tag != "bdi"):
            self.found += [text for text in spoken if text]

    def handle_endtag(self, tag: str) -> None:
        while self._stack:
            opened, _ = self._stack.pop()
            if opened == tag:
                return

    def handle_data(self, data: str) -> None:
        if not (self._stack and self._stack[-1][1]) and data.strip():
            self.found.append(data.strip())


def escaped(html: str) -> list[str]:
    """Texts of a page that are neither of the catalogue nor data."""
    parser = Texts()
    parser.feed(html)
    left = []
    for text in parser.found:
        rest = re.sub(r"⟦[^⟦⟧]*⟧", " ", text)
        rest = re.sub(r"⟦.*⟧", " ", rest, flags=re.DOTALL)
        rest = re.sub(rf"\d+ (?:{'|'.join(MONTHS)}) \d{{4}}", " ", rest)
        words = [word for word in re.split(r"[\s·|:,;()✓✕–…↑↓×?/]+", rest) if re.search(r"[^\W\d_]", word)]
        if [word for word in words if not DATA.fullmatch(word)] and not DATA.fullmatch(text.strip()):
            left.append(text)
    return left


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("pseudo"), cache=None) as made:
        for study, date in (("now", "20260101"), ("before", "20200101")):
            for number in (1, 2):
                made.archive.keep(
                    ct(study, 1, number, patient_id="PSEUDO", patient_name="Pseudo^Patient", StudyDate=date,
                       StudyDescription="HEAD")
                )  # fmt: skip
        planned(made)
        yield made


def planned(made: Web) -> None:
    """A day of the schedule: someone late, someone done, an order that waits, two of the same name."""
    assert made.ctx.ris is not None
    hospital = Hospital(made.ctx.ris, made.ctx.ris_rules)
    hospital.stations()
    for number, at in enumerate(("0800", "0900", "1130")):
        patient = hospital.patient(f"S-{number}", "Same^Name")
        _, procedure = hospital.order(patient, priority=Priority.HIGH, reason="7")
        step = hospital.step(procedure, start=f"20260131{at}")
        if not number:
            hospital.ris.change(lambda unit, ref=step.ref: schedule.advance(unit, by(), ref, StepVerb.ARRIVE))
    hospital.order(patient)
    hospital.ris.change(lambda unit: schedule.block(unit, by(), "CT1", "202601311500", "202601311600", "9"))


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_text_escapes_the_catalogue(served: Web, address: str) -> None:
    answer = served.ask(address, headers={"accept-language": PSEUDO})
    assert "⟦" in answer.text
    assert escaped(answer.text) == []


def test_the_check_itself_finds_a_text_that_escaped() -> None:
    assert escaped('<p>⟦Öpéñ⟧ Hello</p><button aria-label="Close it">⟦x⟧</button>') == ["⟦Öpéñ⟧ Hello", "Close it"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_speaks_german(served: Web, address: str) -> None:
    english = Texts()
    english.feed(served.ask(address, headers={"accept-language": "en"}).text)
    german = served.ask(address, headers={"accept-language": "de"}).text
    if not address.startswith("/parts/"):
        assert '<html lang="de">' in german
    said = Texts()
    said.feed(german)
    ours = set(CATALOGUES["en"].values()) - set(CATALOGUES["de"].values())
    assert [text for text in said.found if text in ours and text not in CATALOGUES["de"].values()] == []
    assert said.found != english.found


def test_a_language_is_kept_and_leads_back_to_a_page_of_ours_alone(served: Web, tmp_path: Path) -> None:
    answer = served.ask("/language?to=de&back=/system")
    assert (answer.status, answer.headers["location"]) == (303, "/system")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("language=de;") and "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert '<html lang="de">' in served.ask("/", headers={"cookie": "language=de", "accept-language": "en"}).text
    for back in (
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/%0d%0aX: y",
        "",
    ):
        assert served.ask(f"/language?to=de&back={back}").headers["location"] == "/"
    assert "set-cookie" not in served.ask("/language?to=xx").headers
