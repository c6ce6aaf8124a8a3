"""`vesalius send` of files: streamed from the disk or out of a ZIP archive, whole and with little memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.data import part10_parts
from tests.support.dcmtk import storescp
from tests.support.generate import ct, part10
from tests.support.server import AET, running_server, vesalius

LARGE = 512 << 20
# The command, and at its end the most memory that its process had.
MEASURED = """
import sys
from vesalius.cli.main import main
try:
    main()
finally:
    sys.stderr.write(open("/proc/self/status").read())
"""


def test_a_file_larger_than_a_zip_chunk_arrives_whole_from_a_zip_archive(tmp_path: Path) -> None:
    ds = ct(rows=1500, columns=1500)
    file = part10(ds)
    with zipfile.ZipFile(tmp_path / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.dcm", file)
    with running_server(tmp_path) as server:
        own = tmp_path / "own"
        vesalius("peers", "add", "FAR", "127.0.0.1", str(server.dimse_port), "--aet", AET, data=own)
        assert "1 sent" in vesalius("send", "--peer", "FAR", tmp_path / "some.zip", data=own).stderr
        vesalius("export", "--study", str(ds.StudyInstanceUID), tmp_path / "out", data=server.data)
    (came,) = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "DICOMDIR"]
    (tmp_path / "sent.dcm").write_bytes(file)
    assert part10_parts(came)[1] == part10_parts(tmp_path / "sent.dcm")[1]


def test_a_large_file_is_sent_with_little_memory(tmp_path: Path) -> None:
    ds = ct(rows=512, columns=512, NumberOfFrames="1024")
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
    ds.PixelData = b""
    head = part10(ds)
    at = head.rindex(b"\xe0\x7f\x10\x00")
    path = tmp_path / "large.dcm"
    path.write_bytes(head[:at] + b"\xe0\x7f\x10\x00OW\0\0" + LARGE.to_bytes(4, "little"))
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size + LARGE)  # zeros that take no space
    own = tmp_path / "own"
    with storescp(tmp_path / "in", extra=("--ignore",)) as port:
        vesalius("peers", "add", "DST", "127.0.0.1", str(port), data=own)
        words = ["send", "--peer", "DST", "--json", "--data", own, path]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *map(str, words)], capture_output=True, text=True, timeout=100, check=False
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sent"] == 1
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert int(most) < 200 << 10, f"{int(most) >> 10} MiB resident"
