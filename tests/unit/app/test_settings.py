"""Settings: documented, bounded, and refused where they are wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vesalius.app.settings import Settings
from vesalius.app.settings_load import load, read_size, settings_of
from vesalius.model.errors import SettingsError

SOURCE = Path(__file__).resolve().parents[3] / "src" / "vesalius"


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("info", settings_of(), ids=lambda info: info.path)
def test_every_setting_says_what_it_is_and_why_it_has_its_default(info) -> None:
    assert info.text.endswith((".", '"')) and len(info.text) > 10
    assert info.why.endswith((".", ")"))
    if info.path.split(".")[-1] in ("artim", "idle", "network", "connect", "grace"):
        assert info.unit == "seconds"


@pytest.mark.parametrize("info", settings_of(), ids=lambda info: info.path)
def test_every_setting_is_used_by_something(info) -> None:
    name = info.path.split(".")[-1]
    files = [path for path in (SOURCE / "app").glob("*.py") if not path.name.startswith("settings")]
    files += (SOURCE / "cli").glob("*.py")
    assert any(re.search(rf"\.{name}\b|\"{name}\"", path.read_text()) for path in files), "a setting without effect"


def test_no_settings_at_all_listen_on_loopback_alone() -> None:
    settings = load(environment={})
    assert settings == Settings()
    assert settings.server.host == settings.server.http_host == "127.0.0.1"
    assert not settings.server.insecure_plain_dicom


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    config = toml(tmp_path, "[server]\nae_title = 'FILE'\ndimse_port = 1001\nhttp_port = 1002\n")
    environment = {"VESALIUS_SERVER_AE_TITLE": "ENVIRONMENT", "VESALIUS_SERVER_DIMSE_PORT": "2001"}
    settings = load({"server.ae_title": "LINE", "server.workers": None}, config=config, environment=environment)
    assert settings.server.ae_title == "LINE"
    assert settings.server.dimse_port == 2001
    assert settings.server.http_port == 1002
    assert settings.server.workers == 0


def test_the_file_in_the_data_directory_is_found_by_itself(tmp_path: Path) -> None:
    (tmp_path / "vesalius.toml").write_text("[server]\nae_title = 'BESIDE'\n")
    assert load({"data": str(tmp_path)}, environment={}).server.ae_title == "BESIDE"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    config = toml(tmp_path, "[log]\nlevel = 'debug'\n")
    assert load(environment={"VESALIUS_CONFIG": str(config)}).log.level == "debug"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[server]\ndimse_prt = 1\n", "server.dimse_port"),
        ("[serve]\ndimse_port = 1\n", "server"),
        ("dimse_port = 1\n", "server.dimse_port"),
        ("[[peers]]\nname = 'A'\nhost = 'h'\nport = 1\nalow = []\n", "allow"),
        ("[[store.copies]]\nname = 'a'\npaht = '/b'\n", "path"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(config=toml(tmp_path, text), environment={})
    assert hint in caught.value.hint
    assert "some.toml" in caught.value.message


def test_an_unknown_environment_variable_of_a_section_is_refused() -> None:
    with pytest.raises(SettingsError, match="VESALIUS_SERVER_PROT"):
        load(environment={"VESALIUS_SERVER_PROT": "1"})
    load(environment={"VESALIUS_SHARED": "/anything"})


def test_an_unknown_setting_of_the_command_line_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"limits\.artin") as caught:
        load({"limits.artin": "1"}, environment={})
    assert "limits.artim" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\ndimse_port = 70000\n", "server.dimse_port"),
        ("[server]\ndimse_port = 'many'\n", "server.dimse_port"),
        ("[server]\nae_title = ''\n", "server.ae_title"),
        ("[limits]\nartim = -1\n", "limits.artim"),
        ("[log]\nlevel = 'loud'\n", "log.level"),
        ("[[peers]]\nname = 'A'\nhost = 'h'\n", "peers"),
        ("[[peers]]\nname = 'A'\nhost = 'h'\nport = 104\nallow = ['everything']\n", "allow"),
        ("[store]\npack_size = 'big'\n", "store.pack_size"),
        ("this is not toml", "is not TOML"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(config=toml(tmp_path, text), environment={})
    assert named in caught.value.message


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load(config=tmp_path / "absent.toml", environment={})


@pytest.mark.parametrize(
    ("text", "count"),
    [("4096", 4096), ("64 MiB", 64 << 20), ("1.5g", 3 << 29), ("2 TiB", 2 << 40), ("7KB", 7 << 10), ("10b", 10)],
)
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    assert read_size(text) == count


def test_sizes_as_text_work_in_every_source(tmp_path: Path) -> None:
    config = toml(tmp_path, "[store]\npack_size = '2 MiB'\n")
    settings = load({"verify.pace": "3 MiB"}, config=config, environment={"VESALIUS_STORE_WATERMARK": "1 MiB"})
    assert (settings.store.pack_size, settings.verify.pace, settings.store.watermark) == (2 << 20, 3 << 20, 1 << 20)


def test_paths_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    config = toml(tmp_path, "data = 'here'\n[[store.copies]]\nname = 'b'\npath = '../b'\n")
    settings = load(config=config, environment={})
    assert settings.data == str(tmp_path / "here")
    assert Path(settings.store.copies[0].path).resolve() == tmp_path.parent / "b"


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        Settings().server.ae_title = "X"  # type: ignore[misc]


@pytest.mark.parametrize("table", ["SERVER", "STORE", "LIMITS", "WEB", "VERIFY", "LOG"])
def test_an_unknown_variable_of_any_table_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match=f"VESALIUS_{table}_NOSUCH"):
        load(environment={f"VESALIUS_{table}_NOSUCH": "1"})
