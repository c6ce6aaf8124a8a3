"""`python -m benchmarks`: run every workload, print the table, write it into the performance page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from benchmarks import (
    find,
    peers,
    process,
    results,
    retrieve,
    store,
    volumes,
    web_metadata,
    web_search,
    web_stow,
    web_wado,
)
from benchmarks.results import Sample


def workloads(args: argparse.Namespace) -> dict[str, Callable[[], Iterator[Sample]]]:
    """Name -> the workload with this run's size."""
    rounds = args.rounds
    servers = {name: start for name, start in peers.available().items() if not args.peer or name in args.peer}
    quick = args.quick
    many = 100_000 if quick else 1_000_000
    return {
        "walker": walker,
        "store-big-1": lambda: store.workload(store.BIG, 400, 1, servers, rounds),
        "store-small-1": lambda: store.workload(store.SMALL, 2000, 1, servers, rounds),
        "store-big-4": lambda: store.workload(store.BIG, 400, 4, servers, rounds),
        "store-small-4": lambda: store.workload(store.SMALL, 2000, 4, servers, rounds),
        "driver-big-4": lambda: store.own_driver(store.BIG, 400, 4, servers, rounds),
        "driver-small-4": lambda: store.own_driver(store.SMALL, 4000, 4, servers, rounds),
        "find-peers": lambda: find.against_peers(servers, peers.BASE),
        "find-1000": lambda: find.at_size(1_000),
        "find-many": lambda: find.at_size(many),
        "retrieve": lambda: retrieve.workload(servers, rounds),
        "web-stow": lambda: web_stow.workload(servers, rounds),
        "web-wado": lambda: web_wado.workload(servers, rounds),
        "web-metadata": lambda: web_metadata.workload(servers, rounds),
        "web-search-peers": lambda: web_search.against_peers(servers),
        "web-search-1000": lambda: web_search.at_size(1_000),
        "web-search-many": lambda: web_search.at_size(many),
        "volumes-load": lambda: volumes.load(rounds),
        "volumes-onto": lambda: volumes.onto(rounds),
        "volumes-memory": volumes.memory,
        "volumes-planes": lambda: volumes.planes(servers, rounds),
        "memory": lambda: process.memory(servers, 1_000 if quick else 10_000),
        "growth": lambda: process.growth(10_000, many),
    }


def walker() -> Iterator[Sample]:
    """The header walker's micro benchmark, with pydicom beside it."""
    from benchmarks.micro_header_walker import measure

    for peer, microseconds in measure().items():
        yield Sample("header walk, 257 elements of a CT", peer, microseconds, "us", higher=False)


def main() -> int:
    """Run the chosen workloads; with none chosen, all, and then the page is written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, a hundred thousand instead of a million")
    parser.add_argument(
        "--rounds", type=int, default=0, help="rounds of each interleaved workload (default 3, quick 1)"
    )
    parser.add_argument("--peer", action="append", help="only these peers (vesalius, orthanc, storescp, dcmqrscp)")
    parser.add_argument("--workload", action="append", help="only these workloads; the page is then left as it is")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    chosen = workloads(args)
    if args.list:
        print("\n".join(chosen))
        return 0
    samples: list[Sample] = []
    failed = False
    for name in args.workload or chosen:
        try:
            for sample in chosen[name]():
                samples.append(sample)
                print(
                    f"{sample.workload:58} {sample.peer:16} {results.figure(sample.value):>10} {sample.unit}",
                    flush=True,
                )
        except Exception as error:  # one broken workload must not hide the figures of the others
            failed = True
            print(f"{name} FAILED: {error!r}", file=sys.stderr, flush=True)
    print("\n" + results.markdown(samples))
    if not args.workload and not args.peer and not args.quick and not failed:
        results.save(samples)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
