"""The S rows of bad input by STOW-RS: the same code as by C-STORE, and the same bytes kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from tests.acceptance.bad_input.test_data_sets import ROWS, Row
from tests.support.archive import LocalArchive, local_archive
from tests.support.stow import failed, files, headers, others, stored
from tests.support.web import Web, web

from vesalius.dimse.errors import answer_for
from vesalius.model.errors import VesaliusError
from vesalius.model.file_meta import file_prefix


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("stow-rows")) as made:
        yield made


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalArchive]:
    with local_archive(tmp_path_factory.mktemp("c-store-rows")) as made:
        yield made


def status_of(archive: LocalArchive, row: Row) -> int:
    """What C-STORE answers."""
    try:
        archive.store(row.dataset(), row.claim())
    except VesaliusError as error:
        return answer_for(error).status
    return 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bad_data_set_gets_the_code_of_c_store(site: Web, twin: LocalArchive, row: Row) -> None:
    dataset = row.dataset()
    status = status_of(twin, row)
    answer = site.dicom_web("/studies", "POST", headers(), files(file_prefix(row.claim()) + dataset))
    if status:
        assert answer.status == (413 if status == 0xA700 else 409)
        assert [*failed(answer.body).values(), *others(answer.body)] == [status]
        assert site.archive.find_one(row.instance) is None
    else:
        assert answer.status == 200 and stored(answer.body) == {row.instance}
        assert site.archive.bytes_of(row.instance) == dataset


def test_a_good_one_beside_a_bad_one_is_stored(site: Web) -> None:
    good = next(row for row in ROWS if row.answer is None)
    bad = next(row for row in ROWS if row.answer is not None)
    again = dataclasses.replace(good, name="beside")
    answer = site.dicom_web(
        "/studies",
        "POST",
        headers(),
        files(*(file_prefix(row.claim()) + row.dataset() for row in (bad, again))),
    )
    assert answer.status == 202
    assert stored(answer.body) == {again.instance}
    assert set(failed(answer.body)) == {bad.instance}
