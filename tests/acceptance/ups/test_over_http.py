"""UPS-RS as its users see it (PS3.18 11): the real service, httpx, and web sockets by the letter of RFC 6455."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from tests.support.dcmtk import free_port
from tests.support.server import Server, running_server
from tests.support.ups_site import FILTERED, GLOBAL, System, config
from tests.support.websocket import NotOpened, opened
from tests.support.workitems import dataset, performed

JSON = {"Content-Type": "application/dicom+json", "Accept": "application/dicom+json"}
XML = "application/dicom+xml"


class Site:
    def __init__(self, server: Server, peer: System) -> None:
        self.server = server
        self.peer = peer
        self.http = httpx.Client(base_url=f"{server.url}/dicom-web", timeout=60)

    def create(self, uid: str, ds: Dataset | None = None) -> httpx.Response:
        return self.post(f"/workitems?workitem={uid}", ds or dataset())

    def post(self, path: str, ds: Dataset) -> httpx.Response:
        return self.http.post(path, content=ds.to_json(), headers=JSON)

    def state(self, uid: str, wanted: str, key: str) -> httpx.Response:
        ds = Dataset()
        ds.ProcedureStepState = wanted
        if key:
            ds.TransactionUID = key
        return self.http.put(f"/workitems/{uid}/state", content=ds.to_json(), headers=JSON)

    def get(self, uid: str) -> dict[str, Any]:
        answer = self.http.get(f"/workitems/{uid}", headers={"Accept": "application/dicom+json"})
        assert answer.status_code == 200
        (found,) = answer.json()
        return dict(found)

    def find(self, **query: str) -> list[str]:
        answer = self.http.get("/workitems", params=query)
        assert answer.status_code == 200
        return [one["00080018"]["Value"][0] for one in answer.json()]

    def socket(self, aet: str) -> Any:
        return opened(self.server.http_port, f"/dicom-web/ws/subscribers/{aet}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port = free_port()
    settings = config(("PEER", port, '"workitems"'))
    with running_server(tmp_path_factory.mktemp("ups-rs"), config=settings) as server:
        site = Site(server, System("PEER", port, server.dimse_port))
        with site.peer.listening():
            yield site


@pytest.fixture
def uid() -> str:
    return str(generate_uid())


@pytest.fixture
def key() -> str:
    return str(generate_uid())


def event(message: dict[str, Any]) -> tuple[str, int, str]:
    """(workitem, event type, state) of what came on a web socket."""
    state = message.get("00741000", {}).get("Value", [""])[0]
    return message["00001000"]["Value"][0], message["00001002"]["Value"][0], state


def test_a_workitem_lives_over_http_and_is_told_on_a_web_socket(site: Site, uid: str, key: str) -> None:
    aet = "WEB1"
    created = site.create(uid)
    assert (created.status_code, created.headers["location"]) == (201, f"{site.http.base_url}workitems/{uid}")
    assert "warning" not in created.headers
    subscribed = site.http.post(f"/workitems/{uid}/subscribers/{aet}?deletionlock=true")
    assert subscribed.status_code == 201
    assert subscribed.headers["content-location"] == (
        f"ws://127.0.0.1:{site.server.http_port}/dicom-web/ws/subscribers/{aet}"
    )
    with site.socket(aet) as socket:
        first = socket.receive()
        assert event(first) == (uid, 1, "SCHEDULED"), "the state at the time of the subscription"
        assert first["00000002"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
        assert first["00404041"]["Value"] == ["READY"]
        assert site.state(uid, "IN PROGRESS", key).status_code == 200
        assert event(socket.receive()) == (uid, 1, "IN PROGRESS")
        update = site.post(f"/workitems/{uid}?transaction-uid={key}", performed())
        assert update.status_code == 200
        assert site.state(uid, "COMPLETED", key).status_code == 200
        assert event(socket.receive()) == (uid, 1, "COMPLETED")
    again = site.state(uid, "COMPLETED", key)
    assert again.status_code == 200
    assert again.headers["warning"] == (
        f"299 {site.server.url}/dicom-web: The UPS is already in the requested state of COMPLETED."
    )
    found = site.get(uid)
    assert found["00741000"]["Value"] == ["COMPLETED"]
    assert found["00741216"]["Value"][0]["00404050"]["Value"] == ["20260101100000"]
    assert "00081195" not in found, "the lock never leaves"


def test_what_a_socket_missed_comes_when_it_is_opened_again(site: Site, uid: str, key: str) -> None:
    site.create(uid)
    site.http.post(f"/workitems/{uid}/subscribers/WEB2")
    with site.socket("WEB2") as socket:
        assert event(socket.receive()) == (uid, 1, "SCHEDULED")
        socket.close()
    site.state(uid, "IN PROGRESS", key)
    with site.socket("WEB2") as socket:
        heard = event(socket.receive())
        if heard == (uid, 1, "SCHEDULED"):  # it went before what it had heard was written down: told again
            heard = event(socket.receive())
        assert heard == (uid, 1, "IN PROGRESS")
    assert site.http.delete(f"/workitems/{uid}/subscribers/WEB2").status_code == 200
    site.post(f"/workitems/{uid}?transaction={key}", performed())
    site.state(uid, "COMPLETED", key)
    other = str(generate_uid())
    site.create(other)
    site.http.post(f"/workitems/{other}/subscribers/WEB2")
    with site.socket("WEB2") as socket:
        assert event(socket.receive()) == (other, 1, "SCHEDULED"), "nothing of what it does not listen to any more"


def test_two_sockets_of_one_title_hear_alike_and_what_clients_say_means_nothing(site: Site, uid: str) -> None:
    with site.socket("WEB3") as one, opened(site.server.http_port, "/dicom-web/subscribers/WEB3") as other:
        one.say("anything")
        site.create(uid)
        site.http.post(f"/workitems/{uid}/subscribers/WEB3")
        assert event(one.receive()) == event(other.receive()) == (uid, 1, "SCHEDULED")


def test_dicom_and_http_are_two_doors_to_one_worklist(site: Site, uid: str, key: str) -> None:
    site.create(uid)
    assert site.http.post(f"/workitems/{uid}/subscribers/PEER").status_code == 201
    site.peer.wait(uid, 1)
    assert site.peer.change(uid, "IN PROGRESS", key) == 0x0000
    assert [told.state for told in site.peer.wait(uid, 2)] == ["SCHEDULED", "IN PROGRESS"]
    assert site.get(uid)["00741000"]["Value"] == ["IN PROGRESS"]
    asked = site.http.post(f"/workitems/{uid}/cancelrequest")
    assert asked.status_code == 202
    assert site.peer.wait(uid, 3)[2].values.RequestingAE == "VESALIUS"
    assert site.state(uid, "IN PROGRESS", str(generate_uid())).status_code == 409


def test_filtered_subscriptions_over_http(site: Site) -> None:
    label = str(generate_uid())[-16:]
    mine, other = str(generate_uid()), str(generate_uid())
    path = f"/workitems/{FILTERED}/subscribers/WEB4"
    assert (
        site.http.post(path, params={"filter": f"WorklistLabel={label},ProcedureStepState=SCHEDULED"}).status_code
        == 201
    )
    site.create(other)
    site.create(mine, dataset(label=label))
    with site.socket("WEB4") as socket:
        assert event(socket.receive()) == (mine, 1, "SCHEDULED")
        assert event(socket.receive()) == (mine, 5, "")
    assert site.http.post(f"{path}/suspend").status_code == 200
    assert site.http.delete(path).status_code == 200
    assert site.http.post(path).status_code == 400, "nothing to match"
    assert site.http.post(f"/workitems/{GLOBAL}/subscribers/WEB4?filter=a=b").status_code == 400


def test_h26_locks_and_final_states(site: Site, uid: str, key: str) -> None:
    assert site.create(uid).status_code == 201
    assert site.create(uid).status_code == 409
    missing = site.state(uid, "IN PROGRESS", "")
    assert (missing.status_code, missing.headers["warning"].partition(": ")[2]) == (
        400, "The Transaction UID is missing.",
    )  # fmt: skip
    assert site.state(uid, "COMPLETED", key).status_code == 409
    assert site.state(uid, "IN PROGRESS", key).status_code == 200
    wrong = site.state(uid, "COMPLETED", str(generate_uid()))
    assert (wrong.status_code, wrong.headers["warning"].partition(": ")[2]) == (
        409, "The Transaction UID is incorrect.",
    )  # fmt: skip
    unmet = site.state(uid, "COMPLETED", key)
    assert unmet.status_code == 409
    assert "(C304)" in unmet.json()["detail"]
    assert site.post(f"/workitems/{uid}", performed()).status_code == 400, "without its lock"
    assert site.post(f"/workitems/{uid}?{key}", performed()).status_code == 200, "the UID alone, as some write it"
    assert site.state(uid, "COMPLETED", key).status_code == 200
    assert site.state(uid, "CANCELED", key).status_code == 409
    assert site.post(f"/workitems/{uid}?transaction-uid={key}", performed()).status_code == 409
    refused = site.http.post(f"/workitems/{uid}/cancelrequest")
    assert (refused.status_code, refused.headers["warning"].partition(": ")[2]) == (
        409,
        "The UPS is already COMPLETED.",
    )
    assert site.state(uid, "NONSENSE", key).status_code == 400


def test_a_cancel_of_what_nobody_began(site: Site, uid: str) -> None:
    site.create(uid)
    reason = Dataset()
    reason.ReasonForCancellation = "ordered twice"
    assert site.post(f"/workitems/{uid}/cancelrequest", reason).status_code == 202
    found = site.get(uid)
    assert found["00741000"]["Value"] == ["CANCELED"]
    assert found["00741002"]["Value"][0]["00741238"]["Value"] == ["ordered twice"]
    again = site.http.post(f"/workitems/{uid}/cancelrequest")
    assert again.status_code == 202
    assert again.headers["warning"].endswith("The UPS is already in the requested state of CANCELED.")


def test_searches_match_include_and_page(site: Site) -> None:
    patient = str(generate_uid())[-20:]
    uids = [str(generate_uid()) for _ in range(3)]
    for number, one in enumerate(uids):
        site.create(one, dataset(patient, ScheduledProcedureStepStartDateTime=f"2026010{number + 1}0900"))
    assert site.find(PatientID=patient) == uids
    assert site.find(PatientID=patient, ScheduledProcedureStepStartDateTime="20260102-") == uids[1:]
    assert site.find(**{"PatientID": patient, "00404025.00080100": "CAD1"}) == uids
    assert site.find(**{"PatientID": patient, "ScheduledStationNameCodeSequence.CodeValue": "X"}) == []
    assert site.find(PatientID=patient, limit="1", offset="1") == [uids[1]]
    page = site.http.get("/workitems", params={"PatientID": patient, "limit": "1"})
    assert page.headers["warning"].endswith("There are 2 additional results that can be requested")
    shown = page.json()[0]
    assert shown["00741204"]["Value"] == ["Lung CAD"]
    assert shown["00741000"]["Value"] == ["SCHEDULED"]
    assert "00081195" not in shown
    every = site.http.get("/workitems", params={"PatientID": patient, "includefield": "all,TransactionUID"}).json()
    assert {"00741216", "00080016"} <= set(every[0])
    assert "00081195" not in every[0]
    for bad in ("nonsense=1", "PatientID=1&PatientID=2", "limit=x", "fuzzymatching=maybe",
                "ScheduledProcedureStepStartDateTime=tomorrow"):  # fmt: skip
        assert site.http.get(f"/workitems?{bad}").status_code == 400, bad


def test_xml_goes_in_and_comes_out(site: Site, uid: str) -> None:
    site.create(uid, dataset(name="Müller^Jürgen", SpecificCharacterSet="ISO_IR 192"))
    answer = site.http.get(f"/workitems/{uid}", headers={"Accept": XML})
    assert answer.headers["content-type"].startswith(XML)
    root = ElementTree.fromstring(answer.text)
    assert "Müller" in answer.text
    for element in list(root):
        if element.get("tag") == "00404010":
            root.remove(element)
    other = str(generate_uid())
    sent = site.http.post(f"/workitems?{other}", content=ElementTree.tostring(root), headers={"Content-Type": XML})
    assert sent.status_code == 201
    assert site.get(other)["00100010"]["Value"] == [{"Alphabetic": "Müller^Jürgen"}]
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><NativeDicomModel>&b;</NativeDicomModel>'
    assert site.http.post("/workitems", content=bomb, headers={"Content-Type": XML}).status_code == 400


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/dicom+json", 400),
        (b"[]", "application/dicom+json", 400),
        (b"{}", "application/dicom+json", 400),
        (b"{}", "text/plain", 415),
        (b"", "application/dicom+json", 400),
        (json.dumps({"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}}).encode(), "application/dicom+json", 400),
    ],
)
def test_bodies_that_are_no_workitem_leave_nothing_behind(site: Site, content: bytes, kind: str, status: int) -> None:
    uid = str(generate_uid())
    answer = site.http.post(f"/workitems?workitem={uid}", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert site.http.get(f"/workitems/{uid}").status_code == 404


def test_addresses_that_mean_nothing(site: Site, uid: str, key: str) -> None:
    assert site.http.get("/workitems/x").status_code == 400
    assert site.state(uid, "IN PROGRESS", key).status_code == 404
    assert site.http.post(f"/workitems/{uid}/cancelrequest").status_code == 404
    assert site.http.post(f"/workitems/{uid}/subscribers/WEB").status_code == 404
    assert site.http.post(f"/workitems/{GLOBAL}/subscribers/A%5CB").status_code == 400
    assert site.http.post(f"/workitems/{uid}/subscribers/WEB/suspend").status_code == 409
    assert site.http.get(f"/workitems/{uid}", headers={"Accept": "text/html"}).status_code == 406
    assert site.http.post(f"/workitems?workitem={GLOBAL}", content=dataset().to_json(), headers=JSON).status_code == 400


def test_created_with_modifications_says_so(site: Site, uid: str) -> None:
    answer = site.create(uid, dataset(label=""))
    assert answer.status_code == 201
    assert answer.headers["warning"].endswith("The UPS was created with modifications.")
    assert site.get(uid)["00741202"]["Value"] == ["Worklist"]


def test_pages_of_other_origins_open_no_socket_and_change_nothing(site: Site, uid: str) -> None:
    port = site.server.http_port
    for origin, host in (("http://evil.example", ""), ("null", ""), ("", "evil.example")):
        with (
            pytest.raises(NotOpened) as caught,
            opened(port, "/dicom-web/ws/subscribers/WEB", origin=origin, host=host),
        ):
            pass
        assert caught.value.status == 403
    with opened(port, "/dicom-web/ws/subscribers/WEB", origin=f"http://127.0.0.1:{port}"):
        pass
    with pytest.raises(NotOpened), opened(port, "/dicom-web/ws/subscribers/NO%5CTITLE"):
        pass
    headers = JSON | {"Origin": "http://evil.example"}
    refused = site.http.post(f"/workitems?workitem={uid}", content=dataset().to_json(), headers=headers)
    assert refused.status_code == 403
    assert site.http.get(f"/workitems/{uid}").status_code == 404


def test_capabilities_tell_of_the_worklist(site: Site) -> None:
    told = site.http.options("/workitems/1.2/state", headers={"Accept": "application/json"})
    assert told.status_code == 200
    (resource,) = told.json()["resources"]
    assert [(one["method"], one["clause"]) for one in resource["methods"]] == [("PUT", "PS3.18 11.7")]
    wrong = site.http.get("/workitems/1.2/state")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, PUT")
