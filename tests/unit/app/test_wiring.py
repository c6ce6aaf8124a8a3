"""Settings become the arguments of the parts."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from vesalius.app.limits import dimse_settings, media_limits, query_limits
from vesalius.app.settings import PeerSettings, ServerSettings, Settings
from vesalius.app.settings_limits import LimitSettings
from vesalius.app.wiring import build, configured_peers, database_url, services
from vesalius.archive.ingest import IngestLimits
from vesalius.archive.media import MediaLimits
from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import Peer
from vesalius.model.errors import SettingsError
from vesalius.model.query import QueryLimits


def test_peers_of_the_configuration_win_by_name(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path), peers=(PeerSettings(name="A", host="file", port=1, allow=("store",)),))
    archive = build(settings)
    try:
        archive.index.save_peer(Peer("A", "database", 2, "A"))
        archive.index.save_peer(Peer("B", "database", 3, "B"))
        peers = archive.peers()
    finally:
        archive.close()
    assert peers["A"].host == "file" and peers["A"].rights == {"store"}
    assert peers["B"].host == "database"


def test_a_peer_without_ae_title_is_called_by_its_name() -> None:
    peers = configured_peers(Settings(peers=(PeerSettings(name="CT1", host="h", port=104),)))
    assert peers["CT1"].aet == "CT1" and peers["CT1"].rights == frozenset()


def test_an_archive_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no archive"):
        build(Settings(data=str(tmp_path / "absent")), must_exist=True)
    assert not (tmp_path / "absent").exists()


def test_the_database_is_in_the_data_directory_unless_named(tmp_path: Path) -> None:
    assert database_url(Settings(data=str(tmp_path))) == f"sqlite:///{tmp_path / 'index.db'}"
    assert database_url(Settings(database="postgresql://h/n")) == "postgresql://h/n"


def test_limits_reach_the_dimse_edge() -> None:
    limits = LimitSettings(associations=3, artim=1.5, idle=2.5, network=3.5, connect=4.5, max_pdu=8192)
    edge = dimse_settings(Settings(server=ServerSettings(ae_title="X"), limits=limits))
    assert (edge.ae_title, edge.associations, edge.artim, edge.idle) == ("X", 3, 1.5, 2.5)
    assert (edge.network, edge.connect, edge.max_pdu) == (3.5, 4.5, 8192)


def test_unknown_callers_are_let_in_on_loopback_alone(tmp_path: Path) -> None:
    archive = build(Settings(data=str(tmp_path)))
    try:
        assert services(archive, loopback=True).settings.allow_unknown
        assert not services(archive, loopback=False).settings.allow_unknown
    finally:
        archive.close()
    strict = Settings(data=str(tmp_path), server=ServerSettings(allow_unknown_on_loopback=False))
    archive = build(strict)
    try:
        assert not services(archive, loopback=True).settings.allow_unknown
    finally:
        archive.close()


def _changed() -> Settings:
    """Every number among the limits one larger, every server switch turned."""
    limits = {name: value + 1 for name, value in msgspec.structs.asdict(LimitSettings()).items()}
    return Settings(
        server=ServerSettings(ae_title="OTHER", any_called_ae_title=True, check_peer_addresses=True),
        limits=LimitSettings(**limits),
    )


def test_every_figure_of_the_edges_is_a_setting() -> None:
    """No limit that a peer can meet is fixed in the code."""
    changed = _changed()
    pairs = [
        (dimse_settings(changed, allow_unknown=True), DimseSettings()),
        (query_limits(changed), QueryLimits()),
        (media_limits(changed), MediaLimits()),
    ]
    for made, default in pairs:
        fixed = [one.name for one in fields(made) if getattr(made, one.name) == getattr(default, one.name)]
        assert fixed == []


def test_the_limits_of_the_parts_are_settings(tmp_path: Path) -> None:
    changed = _changed()
    archive = build(msgspec.structs.replace(changed, data=str(tmp_path)))
    try:
        made, default = archive.ingest._limits, IngestLimits()
        assert [one.name for one in fields(made) if getattr(made, one.name) == getattr(default, one.name)] == []
        header = [one.name for one in fields(made.header)]
        fixed = [name for name in header if getattr(made.header, name) == getattr(default.header, name)]
        # What is not held in memory for indexing is no refusal: the data set is taken all the same.
        assert fixed == ["value_bytes", "sequence_bytes", "offset_table_bytes", "notes"]
        assert archive.retrieve._largest_transcoded == changed.limits.transcode_size
    finally:
        archive.close()
