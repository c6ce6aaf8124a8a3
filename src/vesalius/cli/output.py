"""What commands print: tables for people, JSON lines for programs, progress for the patient.

Results go to standard output, everything else to standard error, so a pipe sees results alone. Progress bars show
only on a terminal. Text from data sets is stripped of what could steer a terminal (T14).
"""

from __future__ import annotations

import json as json_module
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# C1 controls and line separators are legal in JSON text and still act on some terminals and line readers.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029]")


def console(*, error: bool = False) -> Console:
    """A console on standard output (or error); wide where nobody looks, so that nothing is cut in a pipe."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    return Console(
        stderr=error, width=None if stream.isatty() else 1000, highlight=False, soft_wrap=not stream.isatty()
    )


def note(text: str) -> None:
    """A sentence for people, on standard error."""
    print(text, file=sys.stderr)


def json_line(row: Mapping[str, Any]) -> str:
    """One object as one line."""
    text = json_module.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def plain(value: Any) -> str:
    """A value as a table cell: harmless, sequences as `[n items]`."""
    from vesalius.app.logs import clean

    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], Mapping):
            return f"[{len(value)} item{'s' if len(value) > 1 else ''}]"
        return ", ".join(plain(one) for one in value)
    return str(clean(str(value))).replace("\n", " ").replace("\t", " ")


def listing(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, json: bool, empty: str = "", title: str = ""
) -> int:
    """Print rows: JSON lines as they come, or one table of `columns`. Gives the number of rows."""
    count = 0
    if json:
        for row in rows:
            print(json_line(row), flush=True)
            count += 1
        return count
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(row.get(column))) for column in columns))
        count += 1
    if count:
        console().print(table)
    elif empty:
        note(empty)
    return count


def facts(pairs: Mapping[str, Any], *, json: bool) -> None:
    """Print one object: a JSON line, or `name  value` lines."""
    if json:
        print(json_line(pairs), flush=True)
        return
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        print(f"{name.replace('_', ' '):<{width}}  {plain(value)}")


def size(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return ""


@contextmanager
def progress(what: str, total: int | None = None, *, unit: str = "") -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; gives a function that advances it. `unit` "bytes" shows a rate."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    amount = (DownloadColumn(binary_units=True), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), *amount, TimeElapsedColumn(), TimeRemainingColumn(),
        console=console(error=True), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def moving_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """As `progress`, for work whose total becomes known on the way: a function of (done, total)."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console(error=True), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
