"""A running service keeps its further places up to date by itself."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.dcmtk import run
from tests.support.generate import write_study
from tests.support.server import AET, listing, running_server


def test_a_further_place_catches_up_within_seconds(tmp_path: Path) -> None:
    place = tmp_path / "other-disk"
    place.mkdir()
    config = f"[[store.copies]]\nname = 'other'\npath = '{place}'\n[store]\ncopy_interval = 0.2\n"
    with running_server(tmp_path, config=config) as one:
        write_study(tmp_path / "s", instances=5)
        run("storescu", "-aec", AET, "+sd", "127.0.0.1", str(one.dimse_port), tmp_path / "s")
        end = time.monotonic() + 10
        while time.monotonic() < end:
            (row,) = listing("stats", "--config", tmp_path / "data.toml", data=one.data)
            if row["copies_behind"] == {"other": 0} and any(place.iterdir()):
                break
            time.sleep(0.1)
        assert row["copies_behind"] == {"other": 0}
        assert sum(path.stat().st_size for path in place.rglob("*.tar")) > 0
        time.sleep(0.1)
        assert 'vesalius_process_up{kind="work",number="1"} 1.0' in one.get("/metrics")[1]
