"""An instance that comes again, written differently by its sender, is known: no conflict, nothing is written."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from tests.support import dcmtk
from tests.support.data import real_files
from tests.support.generate import ct, part10
from tests.support.server import AET, listing, running_server, vesalius

from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, IMPLICIT_LE


def files(folder: Path) -> list[Path]:
    """Small native real files, one of each UID; where there are none, one made by code."""
    chosen: dict[str, Path] = {}
    for file in real_files():
        if file.transfer_syntax not in (IMPLICIT_LE, EXPLICIT_LE) or file.path.stat().st_size > 600_000:
            continue
        if dcmtk.run("dcmftest", file.path, check=False).returncode == 0 and file.sop_instance:
            chosen.setdefault(file.sop_instance, file.path)
        if len(chosen) == 25:
            break
    made = folder / "made.dcm"
    made.write_bytes(part10(ct()))
    return [*chosen.values(), made]


def test_what_storescu_writes_again_is_no_conflict(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    paths = files(folder)
    data = tmp_path / "data"
    vesalius("import", *paths, data=data, check=False)
    before = listing("stats", data=data)[0]
    uids = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}
    assert before["instances"] <= len(uids)
    assert before["conflicts"] == 0
    with running_server(tmp_path) as server:
        for option in ("-xe", "-xi", "-xb"):
            for path in paths:
                dcmtk.run("storescu", option, "-aec", AET, "127.0.0.1", server.dimse_port, path, check=False)
    after = listing("stats", data=data)[0]
    assert after["conflicts"] == 0, listing("notes", data=data)
    assert after["instances"] >= before["instances"] > 0
    assert after["bytes"] - before["bytes"] < 1_000_000
