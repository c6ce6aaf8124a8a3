"""What a keeper of the archive should see to is said in the log, on the page, in the metrics and by `stats`."""

from __future__ import annotations

from pathlib import Path

import pysqlite3
from tests.support.generate import write_study
from tests.support.server import listing, running_server, vesalius


def test_an_index_older_than_the_attribute_table_is_told_everywhere_and_healed_by_reindex(tmp_path: Path) -> None:
    data = tmp_path / "data"
    vesalius("import", *write_study(tmp_path / "files"), data=data)
    with pysqlite3.connect(str(data / "index.db")) as connection:
        connection.execute("UPDATE meta SET value = 'older' WHERE key = 'attributes'")
    connection.close()
    with running_server(tmp_path) as server:
        assert '"event":"index-outdated"' in server.log_text().replace(": ", ":")
        assert server.get("/ready")[0] == 200  # it stores and finds as before
        assert "vesalius reindex" in server.get("/system")[1]
        assert "vesalius_index_outdated 1.0" in server.get("/metrics")[1]
    assert listing("stats", data=data)[0]["index_outdated"] is True
    vesalius("reindex", data=data)
    assert listing("stats", data=data)[0]["index_outdated"] is False


def test_a_suspect_pack_and_damaged_copies_are_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    vesalius("import", *write_study(tmp_path / "files"), data=data)
    (pack,) = (data / "packs").glob("*.tar")
    pack.with_suffix(".suspect").touch()
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 2] ^= 1
    pack.write_bytes(raw)
    assert vesalius("verify", data=data, check=False).returncode == 5
    (row,) = listing("stats", data=data)
    assert (row["suspect_packs"], row["damaged_copies"]) == (1, 1)
    with running_server(tmp_path) as server:
        page = server.get("/system")[1]
        assert "1 packs are written to no more" in page
        assert "1 damaged copies" in page
        metrics = server.get("/metrics")[1]
        assert 'vesalius_packs{state="suspect"} 1.0' in metrics
        assert "vesalius_damaged_copies 1.0" in metrics
