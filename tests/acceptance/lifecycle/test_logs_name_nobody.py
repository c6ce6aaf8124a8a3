"""T14: whatever a service is asked and sent, its log, its metrics and what it says of itself name no patient."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path

from tests.support import dcmtk
from tests.support.generate import ct, part10
from tests.support.server import AET, Server, running_server, vesalius

# Each of them once in every place where a value can go: data sets, identifiers, URLs, file names.
SECRETS = {
    "PatientName": "Zzyzx^Quillon",
    "PatientID": "SECRETID77",
    "PatientBirthDate": "19331122",
    "AccessionNumber": "ACCSECRET9",
    "StudyDescription": "Hidden story",
    "OtherPatientNames": "Vexborough^Una",
    "PatientComments": "confided words",
}
WORDS = ["zzyzx", "quillon", "secretid77", "19331122", "accsecret9", "hidden story", "vexborough", "confided words"]


def _send(server: Server, *files: Path) -> None:
    dcmtk.run("storescu", "-aec", AET, "127.0.0.1", str(server.dimse_port), *files, check=False)


def _ask(server: Server, tool: str, *words: str) -> None:
    dcmtk.run(tool, "-S", "-aec", AET, *words, "127.0.0.1", str(server.dimse_port), check=False)


def _files(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    whole = part10(ct(**SECRETS))
    bad_date = part10(ct(instance=2, **{**SECRETS, "PatientBirthDate": ""})).replace(b"20240131", b"2024x931")
    without_uid = ct(instance=3, **SECRETS)
    without_uid.StudyInstanceUID = ""
    other_name = {**SECRETS, "PatientName": "Other^Quillon"}
    made = {
        "whole": whole,
        "conflict": part10(ct(seed=1, **SECRETS)),
        "odd": bad_date,
        "without-uid": part10(without_uid),
        "mismatch": part10(ct(study=2, **other_name)),
        "cut": whole[:-700],
    }
    paths = {}
    for name, data in made.items():
        paths[name] = folder / f"{name}.dcm"
        paths[name].write_bytes(data)
    return paths


def _queries(server: Server, out: Path) -> None:
    name, number = SECRETS["PatientName"], SECRETS["PatientID"]
    study = str(ct().StudyInstanceUID)
    _ask(server, "findscu", "-k", "QueryRetrieveLevel=STUDY", "-k", f"PatientName={name}", "-k", f"PatientID={number}")
    _ask(server, "findscu", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyDate={name}", "-k", "PatientName")
    _ask(server, "findscu", "-k", "QueryRetrieveLevel=SERIES", "-k", f"PatientName={name}")
    _ask(server, "getscu", "-od", str(out), "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    _ask(server, "movescu", "-aem", "NOWHERE", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    _ask(server, "movescu", "-aem", "DEAD", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    for path in (
        f"/dicom-web/studies?PatientName={urllib.parse.quote(name)}&PatientID={number}",
        f"/dicom-web/studies?StudyDate={urllib.parse.quote(name)}",
        f"/dicom-web/studies?Nonsense{number}=1",
        f"/dicom-web/studies/{study}/metadata",
        f"/dicom-web/studies/{number}",
        f"/no/{urllib.parse.quote(name)}",
    ):
        server.get(path)


def test_no_log_line_names_a_patient(tmp_path: Path) -> None:
    files = _files(tmp_path / "files")
    out = tmp_path / "out"
    out.mkdir()
    with running_server(tmp_path) as server:
        vesalius("peers", "add", "DEAD", "127.0.0.1", "1", data=server.data)
        for path in files.values():
            _send(server, path)
        imported = vesalius("import", *files.values(), "--again", data=server.data, check=False)
        _queries(server, out)
        verified = vesalius("verify", data=server.data)
        said = {
            "log": server.log_text(),
            "metrics": server.get("/metrics")[1],
            "ready": server.get("/ready")[1],
            "import": imported.stderr + imported.stdout,
            "verify": verified.stderr + verified.stdout,
            "notes": vesalius("notes", "--json", data=server.data).stdout,
        }
        assert len(json.loads(said["notes"]) if said["notes"].startswith("[") else said["notes"].splitlines()) >= 2
    said["log"] += server.log_text()
    assert said["log"].count('"event":') + said["log"].count('"event": ') > 15
    for where, text in said.items():
        found = [word for word in WORDS if word in text.lower()]
        lines = [line for line in text.splitlines() if any(word in line.lower() for word in found)]
        assert not found, f"{where}: {lines[:3]}"
