"""The command line on the own archive: what it does, what it prints, how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from tests.support.data import part10_parts
from tests.support.generate import ct, part10, uid, write_study
from tests.support.patience import patient
from tests.support.server import listing, running_server, vesalius
from typer.testing import CliRunner

from vesalius.cli.main import app

STUDY, OTHER = uid("study", "a"), uid("study", "b")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with two studies."""
    folder = tmp_path_factory.mktemp("own")
    write_study(folder / "in", study="a", series=2, instances=2, patient_name="Müller^Anna", patient_id="P-A")
    write_study(folder / "in", study="b", instances=1, patient_name="Doe^John", patient_id="P-B", Modality="MR")
    done = vesalius("import", folder / "in", "--json", data=folder / "data")
    assert json.loads(done.stdout)["taken"] == 5
    return folder / "data"


def test_the_console_script_is_there_and_help_is_quick_and_teaches() -> None:
    script = Path(sys.executable).parent / "vesalius"
    best = 9.0
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - began)
    assert best < patient(0.4), f"{best:.2f} s"
    for command in ("serve", "import", "find", "send", "retrieve", "echo", "peers", "verify", "reindex", "stats"):
        assert command in done.stdout
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize(
    "command",
    ["serve", "import", "find", "send", "retrieve", "echo", "peers add", "peers list", "peers remove", "peers test",
     "verify", "reindex", "stats", "export", "notes", "demo"],
)  # fmt: skip
def test_every_command_has_help_with_an_example(command: str) -> None:
    text = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "120"}).output
    assert f"vesalius {command}" in text.split("Example", 1)[1]


def test_the_version_is_told() -> None:
    assert vesalius("--version").stdout.startswith("vesalius ")


def test_find_answers_in_a_table_and_in_json(data: Path) -> None:
    table = vesalius("find", data=data).stdout
    assert "Müller^Anna" in table and STUDY in table and "PatientName" in table
    rows = listing("find", data=data)
    assert {row["StudyInstanceUID"] for row in rows} == {STUDY, OTHER}
    (row,) = listing("find", "PatientID=P-A", data=data)
    assert row["NumberOfStudyRelatedInstances"] == "4" and row["NumberOfStudyRelatedSeries"] == "2"


@pytest.mark.parametrize(
    ("key", "count"),
    [
        ("PatientName=muller*", 1),
        ("0010,0020=P-?", 2),
        ("StudyDate=-20231231", 0),
        (f"StudyInstanceUID={STUDY}\\{OTHER}", 2),
        ("ModalitiesInStudy=MR", 1),
    ],
)
def test_keys_match_by_their_kind(data: Path, key: str, count: int) -> None:
    done = vesalius("find", key, "--json", data=data, check=False)
    assert len(done.stdout.splitlines()) == count
    assert done.returncode == (0 if count else 4)


@pytest.mark.parametrize(("level", "count"), [("patient", 2), ("study", 2), ("series", 3), ("image", 5)])
def test_each_level_can_be_asked_for(data: Path, level: str, count: int) -> None:
    assert len(listing("find", "--level", level, data=data)) == count


def test_find_shows_keys_that_are_only_named_and_obeys_a_limit(data: Path) -> None:
    rows = listing("find", "StudyTime", "--limit", "1", data=data)
    assert len(rows) == 1 and rows[0]["StudyTime"] == "101500"


def test_names_that_sound_alike_are_found_on_demand(data: Path) -> None:
    assert vesalius("find", "PatientName=Mueler", data=data, check=False).returncode == 4
    assert vesalius("find", "PatientName=Miller", "--fuzzy", data=data, check=False).returncode == 0


@pytest.mark.parametrize("wrong", [["PatientNam=x"], ["StudyDate=20241301"], ["--level", "house"], ["--limit", "0"]])
def test_a_wrong_question_ends_with_2_and_a_word(data: Path, wrong: list[str]) -> None:
    done = vesalius("find", *wrong, data=data, check=False)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error(data: Path) -> None:
    command = f"{sys.executable} -m vesalius find --level image --json --data {data} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=30)
    assert len(done.stdout.splitlines()) == 1 and "Traceback" not in done.stderr


def test_options_may_stand_before_the_command(data: Path) -> None:
    assert vesalius("--data", data, "find", "--json").stdout.count("\n") == 2


def test_an_archive_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    for command in (["find"], ["verify"], ["export", "--study", "1.2", str(tmp_path / "x")]):
        done = vesalius(*command, data=tmp_path / "absent", check=False)
        assert done.returncode == 2 and "no archive" in done.stderr
    assert not (tmp_path / "absent").exists()


def test_stats_count(data: Path) -> None:
    (row,) = listing("stats", data=data)
    assert (row["patients"], row["studies"], row["series"], row["instances"]) == (2, 2, 3, 5)
    assert row["by_modality"] == {"CT": 4, "MR": 1}
    assert row["copies_behind"] == {}
    assert re.search(r"^instances +5$", vesalius("stats", data=data).stdout, re.MULTILINE)


def test_import_reports_what_was_taken_known_refused_and_why(tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = write_study(tmp_path / "in", instances=3)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    bad = ct(9)
    bad.StudyInstanceUID = ""
    (tmp_path / "in" / "bad.dcm").write_bytes(part10(bad))
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(files[0], "again.dcm")
        archive.writestr("x/new.dcm", part10(ct(2)))
    done = vesalius("import", tmp_path / "in", tmp_path / "more.zip", "--json", data=data, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["taken"], report["known"], len(report["refused"])) == (4, 1, 1)
    assert report["refused"][0]["file"].endswith("bad.dcm") and report["refused"][0]["reason"]
    # Once more: what is durable is not read again; what was refused is refused again.
    again = json.loads(vesalius("import", tmp_path / "in", "--json", data=data, check=False).stdout)
    assert (again["taken"], again["resumed"], len(again["refused"])) == (0, 3, 1)
    forced = json.loads(vesalius("import", tmp_path / "in", "--again", "--json", data=data, check=False).stdout)
    assert (forced["taken"], forced["known"]) == (0, 3)
    text = vesalius("import", tmp_path / "in", data=data, check=False)
    assert "bad.dcm" in text.stdout and "refused" in text.stderr


def test_import_of_nothing_is_wrong_use(tmp_path: Path) -> None:
    assert vesalius("import", tmp_path / "absent", data=tmp_path / "data", check=False).returncode == 2


def test_export_gives_back_every_data_set_byte_for_byte(data: Path, tmp_path: Path) -> None:
    done = vesalius("export", "--study", STUDY, tmp_path / "out", "--json", data=data)
    assert json.loads(done.stdout)["files"] == 4
    assert (tmp_path / "out" / "DICOMDIR").exists()
    sent = {part10_parts(path)[1] for path in (data.parent / "in").glob("a-*.dcm")}
    written = {part10_parts(path)[1] for path in (tmp_path / "out").rglob("IM*")}
    assert written == sent
    assert vesalius("export", "--study", "1.2.3", tmp_path / "none", data=data, check=False).returncode == 4


def test_notes_name_conflicts(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(part10(ct(1, 1, 1)))
    (tmp_path / "two.dcm").write_bytes(part10(ct(1, 1, 1, seed=2)))
    done = vesalius("import", tmp_path / "one.dcm", tmp_path / "two.dcm", "--json", data=tmp_path / "data")
    assert json.loads(done.stdout)["conflicts"] == 1
    (row,) = listing("notes", data=tmp_path / "data")
    assert row["code"] == "conflict" and row["sop_instance"] == uid("instance", 1, 1, 1)
    assert listing("notes", "--study", "1.2.3", data=tmp_path / "data") == []


def test_verify_passes_what_is_whole_and_ends_with_5_on_damage(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_study(tmp_path / "in", instances=3)
    vesalius("import", tmp_path / "in", data=data)
    (whole,) = listing("verify", "--pace", "0", data=data)
    assert (whole["instances"], whole["damaged"]) == (3, 0)
    pack = next((data / "packs").glob("*.tar"))
    raw = bytearray(pack.read_bytes())
    at = raw.index(b"HEAD", raw.index(b"DICM"))
    raw[at] ^= 1
    pack.write_bytes(raw)
    done = vesalius("verify", "--pace", "0", "--json", data=data, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 5 and report["damaged"] == 1 and report["findings"][0]["repaired"] is False
    assert report["findings"][0]["sop_instance"] in vesalius("verify", data=data, check=False).stdout


def test_verify_repairs_from_a_further_place(tmp_path: Path) -> None:
    data, place = tmp_path / "data", tmp_path / "other"
    place.mkdir()
    config = f"[[store.copies]]\nname = 'other'\npath = '{place}'\n[store]\ncopy_interval = 0.1\n"
    with running_server(tmp_path, config=config) as server:
        write_study(tmp_path / "in", instances=2)
        vesalius("import", tmp_path / "in", data=data)
        end = time.monotonic() + 10
        settings = ("--config", tmp_path / "data.toml")
        while listing("stats", *settings, data=data)[0]["copies_behind"] != {"other": 0}:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert server.get("/ready")[0] == 200
    pack = next((data / "packs").glob("*.tar"))
    raw = bytearray(pack.read_bytes())
    raw[raw.index(b"HEAD", raw.index(b"DICM"))] ^= 1
    pack.write_bytes(raw)
    (report,) = listing("verify", "--pace", "0", *settings, data=data)
    assert (report["repaired"], report["damaged"]) == (1, 0)
    (report,) = listing("verify", "--pace", "0", *settings, data=data)
    assert (report["repaired"], report["damaged"]) == (0, 0)


def test_the_index_can_be_made_again_from_the_packs_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_study(tmp_path / "in", series=2, instances=2)
    vesalius("import", tmp_path / "in", data=data)
    vesalius("peers", "add", "P", "127.0.0.1", "104", data=data)
    before = sorted(listing("find", "--level", "image", data=data), key=str)
    (report,) = listing("reindex", data=data)
    assert report["stored"] == 4 and report["untold"] == []
    assert sorted(listing("find", "--level", "image", data=data), key=str) == before
    assert [row["name"] for row in listing("peers", "list", data=data)] == ["P"]
    for path in data.glob("index.db*"):
        path.unlink()
    (report,) = listing("reindex", data=data)
    assert report["stored"] == 4
    assert sorted(listing("find", "--level", "image", data=data), key=str) == before


def test_reindex_is_refused_while_the_service_runs(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        done = vesalius("reindex", data=server.data, check=False)
        assert done.returncode == 2 and "already served" in done.stderr


def test_import_works_beside_a_running_service(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        write_study(tmp_path / "in", instances=3)
        vesalius("import", tmp_path / "in", data=server.data)
        assert len(listing("find", "--level", "image", data=server.data)) == 3


def test_demo_loads_studies_made_by_code_where_there_are_no_real_ones(tmp_path: Path) -> None:
    done = vesalius("demo", "--json", data=tmp_path / "data", VESALIUS_SHARED=str(tmp_path / "absent"))
    assert json.loads(done.stdout)["taken"] == 90
    assert {row["PatientID"] for row in listing("find", data=tmp_path / "data")} == {"DEMO-1", "DEMO-2", "DEMO-3"}
    again = vesalius("demo", "--json", data=tmp_path / "data", VESALIUS_SHARED=str(tmp_path / "absent"))
    assert json.loads(again.stdout)["taken"] == 0
