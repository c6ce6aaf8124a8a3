"""What a simulated department needs of our own archive: peers with rights, stations, a catalogue.

The same as `vesalius peers add`, `vesalius ris stations add` and `vesalius ris procedures add`, in one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vesalius.cli import options

RIGHTS = frozenset(("store", "query", "retrieve", "commit", "worklist"))
DEPARTMENT = "Simulation"


def station(aet: str, modality: str, port: int, *, data: Path | None, config: Path | None) -> None:
    """One scanner, whose results go to `port` on this machine."""
    department([(aet, modality)], (), port, data=data, config=config)


def department(
    stations: Iterable[tuple[str, str]],
    procedures: Iterable[tuple[str, str, str, int]],
    port: int,
    *,
    data: Path | None,
    config: Path | None,
) -> None:
    """Stations (AE title, modality) and procedures (code, name, modality, minutes). Doing it twice changes nothing."""
    from vesalius.model.entities import Peer
    from vesalius.model.orders import Code, Procedure, Station
    from vesalius.ports.ris import RisWork
    from vesalius.ris import catalogue

    machines, catalog = list(stations), list(procedures)
    with options.archive(data, config, must_exist=False) as archive:
        by = options.by(archive, "simulated department")

        def work(unit: RisWork) -> None:
            for aet, modality in machines:
                known = unit.first(Station, aet=aet)
                if known is None or not known.active:
                    catalogue.save_station(unit, by, Station(aet, f"{aet} (simulated)", modality, DEPARTMENT))
            for code, name, modality, minutes in catalog:
                meaning = Code(code, "99SIM", name)
                catalogue.save_procedure(unit, by, Procedure(meaning, name, modality, minutes))

        archive.ris.change(work)
        for aet, _ in machines:
            archive.index.save_peer(Peer(f"sim-{aet}", "127.0.0.1", port, aet, RIGHTS, comment="simulated"))
