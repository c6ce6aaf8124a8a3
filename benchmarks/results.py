"""Samples, medians, and the table and plot that are made of them."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs/explanation/performance.md"
PLOT = REPOSITORY / "docs/explanation/performance.svg"
RESULTS = REPOSITORY / "benchmarks/results/latest.json"


@dataclass(frozen=True)
class Sample:
    """One figure of one peer in one round. `higher` tells which way is better."""

    workload: str
    peer: str
    value: float
    unit: str
    turn: int = 0
    higher: bool = True


# workload prefix -> (goal in words, must-be ratio against orthanc or None, absolute bound or None)
GOALS: dict[str, str] = {
    "C-STORE 400 x 525 KB, 1 association": ">= 3 x Orthanc, aim 4 x; within 1.3 x of storescp's time",
    "C-STORE 2000 x 14 KB, 1 association": ">= 4 x Orthanc, aim storescp",
    "C-STORE 400 x 525 KB, 4 associations": ">= 3 x Orthanc",
    "C-STORE 2000 x 14 KB, 4 associations": ">= 3 x Orthanc",
    "C-FIND": "p50 <= 3 ms; a million at most 1.5 x a thousand",
    "ingest rate at 1,000,000": ">= 0.9 of the rate at 10,000",
    "C-GET": ">= 2 x Orthanc",
    "C-MOVE": ">= 2 x Orthanc",
    "metadata of 100 CT instances, first time": ">= 3 x Orthanc",
    "metadata of 100 CT instances, again": ">= 10 x Orthanc",
    "STOW-RS": ">= 4 x Orthanc",
    "QIDO-RS": ">= 5 x Orthanc; a million at most 1.5 x a thousand",
    "WADO-RS 400 frames": ">= 4 x Orthanc; >= 0.5 x nginx",
    "WADO-RS of 4 studies": ">= 3 x Orthanc; >= 0.5 x nginx",
    "rendered JPEG": ">= 2 x Orthanc",
    "thumbnail from the cache": "<= 3 ms",
    "64 slow readers: p95 of a frame, beside": "at most twice that alone",
    "64 slow readers: memory": "flat",
    "resident memory": "<= 300 MB, flat",
    "start to ready": "<= 2 s",
    "header walk": "<= 150 us",
    "500 slices 512 x 512": "<= 2 x the time of reading and decoding",
    "slice.png of a kept series": "p50 <= 30 ms",
    "resampling": "at least as fast as SimpleITK on all processors",
    "2,000 slices 512 x 512": "< 1.5 x its own size",
}


def goal(workload: str) -> str:
    """The goal of a workload, by the longest matching prefix."""
    fitting = [key for key in GOALS if workload.startswith(key)]
    return GOALS[max(fitting, key=len)] if fitting else ""


def medians(samples: list[Sample]) -> dict[str, dict[str, tuple[float, str]]]:
    """workload -> peer -> (median, unit), in the order of appearance."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    units: dict[str, str] = {}
    for sample in samples:
        values[sample.workload, sample.peer].append(sample.value)
        units[sample.workload] = sample.unit
    table: dict[str, dict[str, tuple[float, str]]] = {}
    for (workload, peer), found in values.items():
        table.setdefault(workload, {})[peer] = (statistics.median(found), units[workload])
    return table


def figure(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


PEERS = ("vesalius", "orthanc", "storescp", "dcmqrscp", "nginx")  # the columns; what else has samples is a variant


def is_peer(name: str) -> bool:
    """Whether a sample is of a server, not of a variant in a micro benchmark."""
    return name.startswith(PEERS)


def variants(samples: list[Sample]) -> str:
    """What micro benchmarks measured: a line a workload, its variants in words."""
    table = medians([sample for sample in samples if not is_peer(sample.peer)])
    lines = []
    for workload, row in table.items():
        unit = next(iter(row.values()))[1]
        said = "; ".join(f"{name} {figure(value)}" for name, (value, _) in row.items())
        lines.append(f"- {workload}, {unit} (goal {goal(workload)}): {said}.")
    return "\n".join(lines)


def markdown(samples: list[Sample]) -> str:
    """The result table: one row a workload, one column a peer, and the ratio against Orthanc in the same run."""
    table = medians([sample for sample in samples if is_peer(sample.peer)])
    peers: list[str] = []
    for row in table.values():
        peers += [peer for peer in row if peer not in peers]
    peers.sort(key=lambda peer: next(n for n, known in enumerate(PEERS) if peer.startswith(known)))
    higher = {sample.workload: sample.higher for sample in samples}
    orthanc = next((peer for peer in peers if peer.startswith("orthanc")), "")
    lines = [
        f"| workload | unit | {' | '.join(peers)} | Vesalius against Orthanc | goal |",
        f"| --- | --- | {' | '.join('---:' for _ in peers)} | ---: | --- |",
    ]
    for workload, row in table.items():
        cells = [figure(row[peer][0]) if peer in row else "" for peer in peers]
        ratio = ""
        if "vesalius" in row and orthanc in row:
            ours, theirs = row["vesalius"][0], row[orthanc][0]
            ratio = f"{(ours / theirs if higher[workload] else theirs / ours):.1f} x"
        unit = next(iter(row.values()))[1]
        lines.append(f"| {workload} | {unit} | {' | '.join(cells)} | {ratio} | {goal(workload)} |")
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on, without a name or a path."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    linux = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {linux}, Python {platform.python_version()}"


def save(samples: list[Sample], *, page: bool = True) -> None:
    """Write the samples, and put the table and the plot into the performance page."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(
        json.dumps(
            {"date": date.today().isoformat(), "machine": machine(), "samples": [asdict(s) for s in samples]}, indent=1
        )
    )
    if not page:
        return
    write_page(samples, f"Measured on {date.today().isoformat()}: {machine()}.")


def write_page(samples: list[Sample], where: str) -> None:
    """Put the table and the plot of samples into the performance page."""
    block = f"{where}\n\n{markdown(samples)}\n\n{variants(samples)}\n"
    text = PAGE.read_text(encoding="utf-8")
    text = re.sub(r"(<!-- results -->\n).*?(<!-- /results -->)", lambda m: m[1] + block + m[2], text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")
    plot(samples)


def plot(samples: list[Sample]) -> None:
    """Bars of every workload that Orthanc ran too, as ratio to Orthanc."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    higher = {sample.workload: sample.higher for sample in samples}
    units = {sample.workload: sample.unit for sample in samples}
    rows = []
    for workload, row in medians(samples).items():
        orthanc = next((value for peer, (value, _) in row.items() if peer.startswith("orthanc")), None)
        if orthanc is None or units[workload] == "MB":  # a size is not a speed
            continue
        rows.append(
            (
                workload,
                {
                    p: (v / orthanc if higher[workload] else orthanc / v)
                    for p, (v, _) in row.items()
                    if not p.startswith("orthanc")
                },
            )
        )
    if not rows:
        return
    colours = {"vesalius": "#0b7285", "storescp": "#adb5bd", "dcmqrscp": "#ced4da"}
    peers = [peer for peer in colours if any(peer in found for _, found in rows)]
    figure_, axes = plt.subplots(figsize=(9, 0.5 * len(rows) + 1.4))
    height = 0.8 / len(peers)
    present = [[peer for peer in peers if peer in found] for _, found in rows]
    for peer in peers:
        mine = [i for i, there in enumerate(present) if peer in there]
        places = [i + (present[i].index(peer) - (len(present[i]) - 1) / 2) * height for i in mine]
        widths = [rows[i][1][peer] for i in mine]
        bars = axes.barh(
            places, widths, height * 0.92, color=colours[peer], label=peer.capitalize() if peer == "vesalius" else peer
        )
        axes.bar_label(bars, [f" {w:.1f} ×" for w in widths], fontsize=8, color="#343a40")
    axes.set_yticks(range(len(rows)), [workload for workload, _ in rows], fontsize=9)
    axes.invert_yaxis()
    axes.axvline(1, color="#343a40", linewidth=1)
    axes.text(1, -0.75, "Orthanc = 1", ha="center", va="bottom", fontsize=8, color="#343a40")
    axes.set_xlabel("times as fast as Orthanc, same machine, same run", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    axes.legend(frameon=False, fontsize=9, loc="center right")
    figure_.tight_layout()
    figure_.savefig(PLOT, metadata={"Date": None})
    plt.close(figure_)
