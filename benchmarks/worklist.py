"""The worklist with many scheduled steps: `python -m benchmarks.worklist [--steps 100000] [--url URL] [--network]`.

Steps of 20 stations over a year, half of them done. Prints p50 and p95 of usual questions in milliseconds: the time of
the verb, from the understood identifier to the last answer; with `--network` that of a round trip to `vesalius serve`,
from the C-FIND-RQ to the final response over one association, with every answer read.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.server import start_server

from benchmarks.driver import EXPLICIT_LE, Connection, find_message
from vesalius.backends.database import open_database
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.datasets import encode
from vesalius.model.orders import By, Code, Identifier, Order, Patient, RequestedProcedure, ScheduledStep, Station
from vesalius.model.steps import OrderState, StepState
from vesalius.ris import catalogue
from vesalius.ris.rules import RisRules
from vesalius.ris.worklist import Worklist
from vesalius.standard.sop_classes import MODALITY_WORKLIST_FIND

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = 5000
STATION = "ST00"  # who asks
_FAMILY = (
    "Abel",
    "Baker",
    "Cole",
    "Dunn",
    "Ellis",
    "Ford",
    "Grant",
    "Hale",
    "Irwin",
    "Jones",
    "Klein",
    "Lowe",
    "Marsh",
)


def fill(ris: SqlRis, steps: int) -> None:
    """One patient and order for each three steps."""
    chance = random.Random(7)
    by = By("benchmark", "2026-01-01T00:00:00.000000Z")

    def stations(work: Any) -> None:
        for number in range(20):
            catalogue.save_station(
                work,
                by,
                Station(f"ST{number:02}", modality=("CT", "MR", "US", "DX")[number % 4], department=f"D{number % 5}"),
            )

    ris.change(stations)
    for start in range(0, steps, CHUNK):

        def chunk(work: Any, start: int = start) -> None:
            for number in range(start, min(start + CHUNK, steps), 3):
                name = f"{chance.choice(_FAMILY)}{number}^{chance.choice(_FAMILY)}"
                patient = work.add(Patient(Identifier(f"P{number}"), name, "19700101", "F")).ref
                order = work.add(Order(patient, accession=f"A{number}", state=OrderState.SCHEDULED)).ref
                procedure = work.add(
                    RequestedProcedure(order, patient, f"RP{number}", f"2.25.{number}", Code("X", "99B", "Something"))
                ).ref
                for step in range(number, min(number + 3, steps)):
                    at = FIRST + timedelta(minutes=chance.randrange(365 * 24 * 60))
                    station = chance.randrange(20)
                    work.add(
                        ScheduledStep(
                            procedure, order, patient, f"S{step}", (f"ST{station:02}",),
                            modality=("CT", "MR", "US", "DX")[station % 4], start=at.strftime("%Y%m%d%H%M00"),
                            minutes=15, state=chance.choice((StepState.SCHEDULED, StepState.COMPLETED)),
                        )
                    )  # fmt: skip

        ris.change(chunk)


def questions() -> dict[str, Any]:
    """What modalities ask."""
    asked: dict[int, Any] = dict.fromkeys((0x00100010, 0x00100020, 0x00080050, 0x0020000D, 0x00401001, 0x00321060), ())
    step = dict.fromkeys((0x00400001, 0x00400002, 0x00400003, 0x00080060, 0x00400007, 0x00400009, 0x00400008), ())

    def ask(top: dict[int, str] | None = None, inside: dict[int, str] | None = None) -> Any:
        item = step | {tag: (value,) for tag, value in (inside or {}).items()}
        return asked | {tag: (value,) for tag, value in (top or {}).items()} | {0x00400100: (item,)}

    return {
        "own station, one day": ask(inside={0x00400001: "ST00", 0x00400002: "20260615"}),
        "modality, one day": ask(inside={0x00080060: "CT", 0x00400002: "20260615"}),
        "own station, a week": ask(inside={0x00400001: "ST00", 0x00400002: "20260615-20260621"}),
        "one day, everything seen": ask(inside={0x00400002: "20260615"}),
        "patient": ask({0x00100020: "P3000"}),
        "accession number": ask({0x00080050: "A3000"}),
        "name": ask({0x00100010: "Abel3*"}),
    }


def of_the_verb(ris: SqlRis, rounds: int) -> None:
    """Without the network."""
    worklist = Worklist(ris, RisRules())
    for name, values in questions().items():
        query = worklist.understand(values)
        took, answers = [], 0
        for _ in range(rounds):
            start = time.perf_counter()
            answers = sum(1 for _ in worklist.find(query, STATION))
            took.append((time.perf_counter() - start) * 1000)
        tell(name, answers, took)


def over_the_network(folder: Path, url: str, rounds: int) -> None:
    """By a client that reads as little as it can (`benchmarks/driver.py`), from a service of its own processes."""
    options = ["--database", url] if url else []
    server = start_server(folder, *options)
    try:
        contexts = ((MODALITY_WORKLIST_FIND, EXPLICIT_LE),)
        connection = Connection("127.0.0.1", server.dimse_port, "VESALIUS", STATION, contexts)
        for name, values in questions().items():
            asked = encode(values, EXPLICIT_LE, ())
            took, answers = [], 0
            for number in range(rounds):
                message = find_message(asked, number % 60000 + 1, MODALITY_WORKLIST_FIND)
                start = time.perf_counter()
                statuses = connection.ask(message)
                took.append((time.perf_counter() - start) * 1000)
                answers = len(statuses) - 1
                if statuses[-1] != 0:
                    raise RuntimeError(f"C-FIND ended with {statuses[-1]:04X}")
            tell(name, answers, took)
        connection.release()
    finally:
        server.stop()


def tell(name: str, answers: int, took: list[float]) -> None:
    """One line of the table."""
    took.sort()
    p95 = took[min(len(took) - 1, round(len(took) * 0.95))]
    print(f"{name:28} {answers:5} answers  p50 {statistics.median(took):7.2f} ms  p95 {p95:7.2f} ms")


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--url", default="")
    parser.add_argument("--network", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = open_database(options.url or f"sqlite:///{folder}/index.db")
        ris = SqlRis(database)
        began = time.perf_counter()
        fill(ris, options.steps)
        database.optimise()
        print(f"{options.steps} steps in {time.perf_counter() - began:.0f} s on {database.dialect}")
        if not options.network:
            of_the_verb(ris, options.rounds)
        database.close()
        if options.network:
            over_the_network(folder, options.url, options.rounds)


if __name__ == "__main__":
    main()
