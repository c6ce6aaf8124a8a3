"""Every real file: in by STOW-RS, back by C-GET and WADO-RS to the last byte; refused where C-STORE refuses it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.acceptance.store.test_corpus import IMPLICIT, NO_CONTEXT, apart, claimed_class, expected
from tests.support import corpus, stow
from tests.support.corpus import Item
from tests.support.data import need_shared_data
from tests.support.multipart import split
from tests.support.raw_dicom import STUDY_GET
from tests.support.raw_peer import LEVEL, RawScu, studies_at
from tests.support.server import Server, running_server

from vesalius.model.entities import Claim
from vesalius.model.file_meta import file_prefix

AT_ONCE = 40
SOP_CLASS_NOT_SUPPORTED = 0x0122


@dataclass
class Loaded:
    server: Server
    reasons: dict[str, int] = field(default_factory=dict)  # file -> Failure Reason, 0 where it is stored
    sent: dict[str, Item] = field(default_factory=dict)  # SOP Instance UID -> data set


def file_of(item: Item) -> bytes:
    claim = Claim(claimed_class(item), item.sop_instance or "1.2.3", item.transfer_syntax)
    return file_prefix(claim) + item.dataset


def post(server: Server, items: list[Item]) -> dict[str, object]:
    request = urllib.request.Request(
        f"{server.url}/dicom-web/studies", stow.files(*map(file_of, items)), stow.headers(), method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        assert error.code == 409
        return dict(json.loads(error.read()))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    need_shared_data()
    everything = list(apart(corpus.items()))
    # Those that have no name to fail by go alone, so that it is clear whose failure it is.
    named = [item for item in everything if not expected(item.name)[0]]
    with running_server(tmp_path_factory.mktemp("stow-corpus")) as server:
        loaded = Loaded(server)
        groups = [named[at : at + AT_ONCE] for at in range(0, len(named), AT_ONCE)]
        groups += [[item] for item in everything if expected(item.name)[0]]
        for group in groups:
            answer = post(server, group)
            failures, others = stow.failed(answer), stow.others(answer)
            for item in group:
                reason = failures.get(item.sop_instance or "1.2.3", 0)
                if len(group) == 1 and not reason and not stow.stored(answer):
                    (reason,) = [*failures.values(), *others]
                loaded.reasons[item.name] = reason
                if not reason:
                    loaded.sent[item.sop_instance] = item
            assert stow.stored(answer) == {item.sop_instance for item in group if not loaded.reasons[item.name]}
        yield loaded


def test_every_real_file_is_stored_or_fails_with_the_reason_of_c_store(loaded: Loaded) -> None:
    wrong = {}
    for name, reason in loaded.reasons.items():
        wanted = expected(name)[0]
        if reason != (SOP_CLASS_NOT_SUPPORTED if wanted == NO_CONTEXT else wanted):
            wrong[name] = f"{reason:04X} for {wanted:04X}"
    assert not wrong
    assert len(loaded.sent) > 790


def test_every_data_set_comes_back_by_c_get_as_it_was_sent(loaded: Loaded) -> None:
    pairs = list(dict.fromkeys((item.sop_class, item.transfer_syntax) for item in loaded.sent.values()))
    contexts = [(STUDY_GET, [IMPLICIT]), *((uid, [syntax]) for uid, syntax in pairs)]
    back = set()
    with RawScu.associate(loaded.server.dimse_port, contexts, roles=(uid for uid, _ in pairs)) as scu:
        for study in studies_at(loaded.server.dimse_port):
            got = scu.get({LEVEL: "STUDY", 0x0020000D: study})
            assert got.status == 0, study
            for one in got.kept:
                item = loaded.sent[one.sop_instance]
                assert (one.transfer_syntax, one.dataset) == (item.transfer_syntax, item.dataset), item.name
                back.add(one.sop_instance)
    assert back == set(loaded.sent)


def test_every_data_set_comes_back_by_wado_rs_as_it_was_sent(loaded: Loaded) -> None:
    back = set()
    for study in studies_at(loaded.server.dimse_port):
        request = urllib.request.Request(
            f"{loaded.server.url}/dicom-web/studies/{study}",
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            kind, body = answer.headers["Content-Type"], answer.read()
        for part in split(kind, body):
            assert part.content[:132] == bytes(128) + b"DICM"
            found = corpus.item_of("", part.content)
            raw = corpus.split_file(part.content)[0]
            meta = {tag: value.decode("latin-1").strip("\0 ") for tag, value in raw.items()}
            item = loaded.sent[meta[0x00020003]]
            assert (found.transfer_syntax, found.dataset) == (item.transfer_syntax, item.dataset), item.name
            back.add(meta[0x00020003])
    assert back == set(loaded.sent)
