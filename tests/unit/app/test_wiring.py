"""Settings become the arguments of the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.app.settings import PeerSettings, ServerSettings, Settings
from vesalius.app.settings_limits import LimitSettings
from vesalius.app.wiring import build, configured_peers, database_url, dimse_settings, services
from vesalius.model.entities import Peer
from vesalius.model.errors import SettingsError


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
