"""The first things a modality does: echo, store, find its image again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelFind, Verification
from tests.support.dimse_site import running_site
from tests.support.generate import ct

from vesalius.dimse import c_echo, c_find
from vesalius.dimse.client import Association
from vesalius.dimse.contexts import for_find, for_verification


def _pynetdicom_session(port: int) -> tuple[int, int, list[tuple[int, Dataset | None]]]:
    ae = AE("PYNET")
    for uid in (Verification, CTImageStorage, StudyRootQueryRetrieveInformationModelFind):
        ae.add_requested_context(uid)
    assoc = ae.associate("127.0.0.1", port, ae_title="VESALIUS")
    assert assoc.is_established
    try:
        echo = assoc.send_c_echo().Status
        ds = ct()
        ds.file_meta = Dataset()
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
        ds.set_original_encoding(True, True) if hasattr(ds, "set_original_encoding") else None
        store = assoc.send_c_store(ds).Status
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        query.PatientName = "DOE*"
        query.PatientID = ""
        query.StudyInstanceUID = ""
        answers = [(s.Status, i) for s, i in assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)]
    finally:
        assoc.release()
    return echo, store, answers


async def test_a_modality_echoes_stores_and_finds_its_study(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        echo, store, answers = await asyncio.to_thread(_pynetdicom_session, site.port)
        assert echo == 0
        assert store == 0
        assert [status for status, _ in answers] == [0xFF00, 0x0000]
        found = answers[0][1]
        assert found is not None
        assert found.PatientID == "PID-1"
        assert found.StudyInstanceUID == ct().StudyInstanceUID
        assert found.RetrieveAETitle == "VESALIUS"
        assert found.InstanceAvailability == "ONLINE"
        assert site.stored() == 1


async def test_our_client_echoes_and_finds(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        site.keep(ct(patient_name="Müller^Jörg"))
        async with Association.open(site.as_peer(), for_verification()) as assoc:
            assert (await c_echo.echo(assoc)).status == 0
        async with Association.open(site.as_peer(), for_find()) as assoc:
            identifier = {0x00080052: ("STUDY",), 0x00100010: ("mul*",), 0x0020000D: ()}
            answers = [a async for a in c_find.find(assoc, identifier)]
        assert [a[0x00100010] for a in answers] == [("Müller^Jörg",)]
