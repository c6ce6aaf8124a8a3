"""What the fusion page offers: volumes of one patient alone, and two of them to begin with that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.support import phantom
from tests.support.generate import ct, uid
from tests.support.web import Web, web

from vesalius.web.pages.fusion import STOPS, gradient, pair_of
from vesalius.web.pages.studies import SeriesCard

STUDY = uid("phantom study", 1)


def card(name: str, modality: str, images: int = 100, frame: str = "f") -> SeriesCard:
    return SeriesCard(name, modality, "1", "", "", "", "", images, frame)


SCOUT, CT, PET = card("scout", "CT", 1), card("ct", "CT", 135), card("pet", "PT", 120)
ALONE, MR = card("alone", "CT", 900, "g"), card("mr", "MR", 200, "h")


def test_a_pet_is_laid_on_the_ct_of_its_space_and_not_on_a_larger_one_elsewhere() -> None:
    for offered in ([SCOUT, CT, PET, ALONE], [ALONE, PET, CT, SCOUT]):
        assert pair_of(offered, "", "") == ("ct", "pet")
        assert pair_of(offered, "alone", "") == ("alone", "pet")
        assert pair_of(offered, "", "ct") == ("scout", "ct") or pair_of(offered, "", "ct")[0] != "ct"
        assert pair_of(offered, "pet", "ct") == ("pet", "ct")


def test_without_a_common_space_two_modalities_come_first_and_one_series_alone_is_no_pair() -> None:
    assert set(pair_of([ALONE, MR], "", "")) == {"alone", "mr"}
    assert pair_of([CT], "ct", "") == ("ct", "")
    unknown = [card("a", "CT", 5, ""), card("b", "CT", 9, "")]
    assert set(pair_of(unknown, "", "")) == {"a", "b"}


def test_series_that_hold_no_slices_are_not_offered() -> None:
    assert not any(card("x", modality).is_volume for modality in ("SR", "PR", "US", "XA", "RTSTRUCT", "REG"))
    assert all(card("x", modality).is_volume for modality in ("CT", "MR", "PT", "NM", "RTDOSE", "SEG"))
    assert not card("x", "CT", 0).is_volume


def test_the_colours_of_a_bar_are_those_of_the_map() -> None:
    assert gradient("grey")[:12] == "000000080808" and gradient("grey")[-6:] == "ffffff"
    assert len(gradient("hot-iron")) == 6 * STOPS and gradient("hot-iron")[-6:] == "ffffff"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("fusion-page")) as made:
        for ds in (*phantom.ct(), *phantom.pet(), *phantom.ct(study=2, series="earlier")):
            made.archive.keep(ds)
        made.archive.keep(ct("stranger", 1, 1, patient_id="SOMEBODY"))
        yield made


def chosen(text: str, name: str) -> str:
    found = re.search(rf'<select id="{name}".*?value="([0-9.]+)"[^>]* selected>', text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_offers_the_series_of_the_study_and_of_priors_and_begins_with_pet_on_ct(served: Web) -> None:
    answer = served.ask(f"/studies/{STUDY}/fusion")
    assert answer.status == 200 and "script-src 'self'" in answer.headers["content-security-policy"]
    assert chosen(answer.text, "fixed") == uid("phantom series", 1, "ct")
    assert chosen(answer.text, "moving") == uid("phantom series", 1, "pt")
    assert uid("phantom series", 2, "earlier") in answer.text and "prior" in answer.text
    assert uid("series", "stranger", 1) not in answer.text
    earlier = uid("phantom series", 2, "earlier")
    wanted = served.ask(f"/studies/{STUDY}/fusion?fixed={earlier}")
    assert chosen(wanted.text, "fixed") == earlier


def test_a_series_of_somebody_else_is_never_laid_over_this_patient(served: Web) -> None:
    stranger = uid("series", "stranger", 1)
    for query in (f"moving={stranger}", f"fixed={stranger}", "fixed=1.2.3", "moving=<script>"):
        answer = served.ask(f"/studies/{STUDY}/fusion?{query}")
        assert answer.status == 404 and "fusion.js" not in answer.text and "<script>" not in answer.text
    assert served.ask("/studies/1.2.3/fusion").status == 404


def test_a_study_without_two_volumes_says_so(served: Web) -> None:
    answer = served.ask(f"/studies/{uid('study', 'stranger')}/fusion")
    assert answer.status == 200 and "needs two volumes" in answer.text and "fusion.js" not in answer.text


def test_the_row_of_a_study_leads_to_the_page_where_there_are_two_volumes(served: Web) -> None:
    assert f"/studies/{STUDY}/fusion" in served.ask(f"/parts/studies/{STUDY}").text
    assert "/fusion" not in served.ask(f"/parts/studies/{uid('study', 'stranger')}").text
