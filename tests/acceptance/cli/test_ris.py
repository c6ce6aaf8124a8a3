"""`vesalius ris` and the demo: everything of the workflow can be reached without pages."""

from __future__ import annotations

from pathlib import Path

from tests.support.server import listing, vesalius


def test_from_a_station_to_the_worklist_and_back_by_commands_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"

    def ris(*words: str) -> str:
        return vesalius("ris", *words, data=data).stdout

    ris("stations", "add", "CT1", "ct", "--department", "RAD", "--hours", "1234567 0700-1800")
    ris("procedures", "add", "CTHEAD", "CT of the head", "CT")
    ris("patients", "add", "4711", "Doe^Jane", "--birth-date", "19700101")
    (order,) = listing("ris", "orders", "add", "4711", "CTHEAD", "--priority", "STAT", data=data)
    (step,) = listing("ris", "schedule", "add", str(order["procedure"]), "CT1", "202611241000", data=data)
    taken = vesalius("ris", "schedule", "add", str(order["procedure"]), "CT1", "202611241005", data=data, check=False)
    assert taken.returncode == 1 and "taken" in taken.stderr and "Doe" not in taken.stderr
    ris("schedule", "move", str(step["step"]), "--start", "202611241130")
    ris("schedule", "state", str(step["step"]), "arrive")
    (row,) = listing("ris", "worklist", "CT1", "--date", "20261124", data=data)
    assert (row["start"], row["time"], row["name"], row["accession"]) == (
        "20261124", "113000", "Doe^Jane", order["accession"],
    )  # fmt: skip
    assert listing("ris", "worklist", "OTHER", data=data) == []
    ris("orders", "cancel", str(order["order"]), "--why", "not needed")
    assert listing("ris", "worklist", "CT1", data=data) == []
    events = listing("ris", "events", data=data)
    assert [one["kind"] for one in events][-2:] == ["order-state", "step-state"]
    assert events[-1]["why"] == "not needed" and events[-1]["who"]
    missing = vesalius("ris", "orders", "add", "nobody", "CTHEAD", data=data, check=False)
    assert missing.returncode == 4


def test_rooms_are_told_with_their_stations_and_a_removed_procedure_is_ordered_no_more(tmp_path: Path) -> None:
    data = tmp_path / "data"
    vesalius("ris", "rooms", "add", "Room 1", "--department", "RAD", "--location", "Floor 2", data=data)
    vesalius("ris", "stations", "add", "CT1", "CT", "--room", "Room 1", data=data)
    assert listing("ris", "rooms", "list", data=data) == [
        {"name": "Room 1", "department": "RAD", "location": "Floor 2", "stations": ["CT1"]}
    ]
    vesalius("ris", "patients", "add", "4711", "Doe^Jane", data=data)
    vesalius("ris", "procedures", "add", "CTHEAD", "CT of the head", "CT", data=data)
    vesalius("ris", "procedures", "remove", "CTHEAD", data=data)
    assert [one["active"] for one in listing("ris", "procedures", "list", data=data)] == [False]
    refused = vesalius("ris", "orders", "add", "4711", "CTHEAD", data=data, check=False)
    assert refused.returncode == 4 and "CTHEAD" in refused.stderr


def test_the_demo_plans_a_day_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for _ in range(2):
        vesalius("demo", "--generated", data=data)
    steps = listing("ris", "schedule", "list", data=data)
    assert len(steps) > 20 and {station for one in steps for station in one["stations"]} == {"CT1", "MR1", "US1", "DX1"}  # type: ignore[union-attr]
    assert len(listing("ris", "patients", "list", data=data)) == 33
