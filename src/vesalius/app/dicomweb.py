"""What the service does over HTTP, as documents: a reference page and a section of the conformance statement.

Everything is read from the tables that the HTTP edge obeys: `web/transactions.py`, `web/errors.py`, the attributes
that are answered unasked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus

from vesalius.app.settings_web import WebSettings
from vesalius.model.dicom_json_entries import BULK_BYTES, BULK_NUMBERS, BULK_TEXT
from vesalius.standard.dictionary import describe
from vesalius.web import ups_events
from vesalius.web.errors import STATUS_OF
from vesalius.web.qido import MOST_COUNTED
from vesalius.web.qido_headers import MOST_READ
from vesalius.web.qido_parameters import CONDITIONAL, INSTANCE_RESPONSE, SERIES_RESPONSE, STUDY_RESPONSE
from vesalius.web.transactions import SEARCH_PARAMETERS, TRANSACTIONS, Parameter, Transaction

ROOT = "/dicom-web"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(' --- ' for _ in head)}|"]
    lines += [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _media(types: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(f"`{media}`" for media in types[:most])
    return f"{shown} and {len(types) - most} more" if len(types) > most else shown


def transactions_table() -> str:
    """Every transaction with its media types."""
    return _table(
        ("Resource", "Method", "Transaction", "PS3.18", "Answers", "Takes"),
        [
            (f"`{one.path}`", one.method, one.name, one.clause, _media(one.responses), _media(one.requests))
            for one in TRANSACTIONS
        ],
    )


def _parameters(parameters: Sequence[Parameter]) -> str:
    return _table(
        ("Parameter", "Meaning"),
        [(f"`{one.name}`", one.text + (" (may stand more than once)" if one.repeated else "")) for one in parameters],
    )


def response_attributes() -> str:
    """What a search answers unasked."""
    return _table(
        ("Level", "Attribute", "Answered"),
        [
            (level, describe(tag), "where there is a value" if tag in CONDITIONAL else "always")
            for level, tags in (
                ("study", STUDY_RESPONSE),
                ("series", SERIES_RESPONSE),
                ("instance", INSTANCE_RESPONSE),
            )
            for tag in tags
        ],
    )


def statuses_table() -> str:
    """Which error of the archive is which HTTP status."""
    by_status: dict[int, list[str]] = {}
    for error, status in STATUS_OF.items():
        text = (error.__doc__ or error.__name__).split("(")[0].strip().rstrip(".;:")
        by_status.setdefault(status, []).append(text)
    return _table(
        ("Status", "Meaning", "Given when"),
        [(status, HTTPStatus(status).phrase, "; ".join(texts)) for status, texts in sorted(by_status.items())],
    )


def _search() -> Iterator[str]:
    yield (
        "A search is a relational C-FIND in another spelling, answered by the same engine: matching, names without "
        "case and accents, ranges and sequences are those of the "
        "[conformance statement](conformance.md#53-query-and-retrieve), and the keys are the same. An attribute is "
        "named by its keyword, its tag (`00100020`) or a path through sequences (`00400275.00400009`). Values of UIDs "
        "are parted by commas or backslashes. A name that is no attribute is 400. An attribute that is not indexed, "
        "private ones among them, is read from the headers where instances are searched for (at most "
        f"{MOST_READ:,} for one question, else 413; a private block is found by its creator where the question names "
        "it: `00090010=ACME&00091001=x`); at other levels it is ignored, and a `Warning: 299` says so. A value that "
        "cannot be read is 400, where "
        "C-FIND says C000. A parameter stands once, but for `includefield` and UIDs."
    )
    web = WebSettings()
    yield (
        f"Nothing found is {web.no_match_status} with `[]` (`web.no_match_status`). The order is that of arrival, the "
        f"same for the same question. At most {web.results:,} results come at once (`web.results`); where more are "
        "left, `Warning: 299 <service>: There are <n> additional results that can be requested` says how many, "
        f"counted no further than {MOST_COUNTED:,}. Dates and times are those of the data sets; with "
        "`TimezoneOffsetFromUTC` in the question they are compared in its zone."
    )


def _metadata() -> Iterator[str]:
    yield (
        "Metadata are the whole header of each instance as it was received: numbers keep their digits, text is UTF-8, "
        f"group lengths are left out. Named by a Bulk Data URI instead of held are Pixel Data, binary values of more "
        f"than {BULK_BYTES} bytes, arrays of numbers of more than {BULK_NUMBERS} bytes and text of more than "
        f"{BULK_TEXT >> 20} MiB. The URI is `<instance>/bulkdata/<path>`, where the path is a tag, or tag, item (from "
        "1), tag and so on. Answers have an ETag that changes whenever an instance comes, goes or changes."
    )


def _workitems() -> Iterator[str]:
    yield (
        "The worklist of the DICOM service (PS3.4 annex CC) by another door: the same workitems, states and "
        "subscribers. A body is one data set as DICOM JSON or XML. A search matches by any attribute, in sequences by "
        "paths; unasked it answers the return keys of type 1 and 2 of PS3.4 Table CC.2.5-3. The Transaction UID, which "
        "is the lock, is taken from the body or the query string and never answered. A refusal names its status of "
        "annex CC in `detail`; a Transaction UID that is missing is 400, one that does not fit and a state that does "
        "not allow the request are 409, what was deleted after its time (`workitems.keep`) is 410."
    )
    paths = " and ".join(f"`{path}`" for path in ups_events.PATHS)
    yield (
        f"Events come on a web socket, {paths}, one text frame of DICOM JSON each. A connection begins with what no "
        "connection of this AE title was sent yet. A page of another origin opens none (403)."
    )


def page() -> str:
    """`docs/reference/dicomweb.md`."""
    parts = [
        "# DICOMweb",
        "<!-- Generated by tools/generate_docs.py: do not edit. -->",
        f"The root is `{ROOT}` of the HTTP port. `OPTIONS {ROOT}/` answers with this table as WADL, or as JSON with "
        "`Accept: application/json`; OPTIONS of a resource tells of it alone. Answers come compressed with zstd or "
        "gzip where the client takes that. What is wrong is told as JSON with `title`, `detail` and `hint`.",
        "## Transactions",
        transactions_table(),
        "## Search (QIDO-RS)",
        *_search(),
        _parameters(SEARCH_PARAMETERS),
        "### What is answered unasked",
        "Retrieve URL, Instance Availability (always ONLINE) and Specific Character Set (ISO_IR 192) always; of the "
        "table what belongs to the level, and to the levels above that the path does not name.",
        response_attributes(),
        "## Metadata (WADO-RS)",
        *_metadata(),
        "## All bulk data at once",
        "`/bulkdata` of a study, a series or an instance gives every value that its metadata name by a URI, each as a "
        "part with that URI as its Content-Location; encapsulated pixels are a part for each frame, decoded unless a "
        "compressed form is accepted. A document keeps its own media type where octets are not accepted. What no "
        "accepted type can carry is counted in a `Warning: 299` (206). `/pixeldata` gives the frames alone.",
        "## WADO-URI",
        "Every parameter of PS3.18 9 but two: `anonymize` is refused (400), since an answer that is not anonymized "
        "would pass for one that is; `charset` is ignored, text is UTF-8. `transferSyntax=*`, which clients of "
        "WADO-RS send, means as stored. Parameters of pictures (`rows`, `columns`, `region`, `windowCenter`, "
        "`windowWidth`, `imageQuality`, `annotation`, `presentationUID`, `frameNumber`) do not go together with "
        "`application/dicom`, nor `transferSyntax` with a picture: 400.",
        "## Workitems (UPS-RS)",
        *_workitems(),
        "## Statuses",
        statuses_table(),
        "## The HTTP below",
        "HTTP/1.1 and HTTP/2. A head of more than 400 KB or 100 fields is 431, an address of more than 64 KB 414; a "
        "head that is not whole after 30 seconds ends the connection. Two lengths, a folded line, a NUL or a broken "
        "field are 400 and end it, too. After a body in chunks the connection is closed: a Content-Length beside "
        "Transfer-Encoding then cannot make a proxy and this service disagree where the next request begins "
        "(RFC 9112 6.1). A line feed alone ends a line as CRLF does (RFC 9112 2.2 permits it); a length behind it is a "
        "length, and a second one is 400. So a proxy in front must not pass on a line feed inside a field, which "
        "nginx, HAProxy, Envoy, Apache and Caddy do not.",
        "## Beside DICOMweb",
        "`/api/openapi.json` describes what is not of the standard. `/api/changes?since=<id>` tells what became of "
        "the archive after an event, `/api/events` the same as it happens (server-sent events). Who remembers the "
        "last id misses nothing.",
    ]
    return "\n\n".join(parts) + "\n"


def conformance() -> Iterator[str]:
    """The section of the conformance statement."""
    yield "### 5.5 DICOMweb"
    yield (
        f"Origin server of the Studies Service (PS3.18 10), the Worklist Service (PS3.18 11) and the URI Service "
        f"(PS3.18 9), root `{ROOT}`. The media "
        "types, parameters and statuses of each transaction are in [DICOMweb](dicomweb.md)."
    )
    yield _table(
        ("Transaction", "PS3.18", "Resources"),
        [(name, clause, ", ".join(f"`{path}`" for path in found)) for (name, clause), found in _grouped().items()],
    )
    yield from _search()
    yield from _metadata()


def _grouped() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for one in TRANSACTIONS:
        found.setdefault((_kind(one), one.clause), []).append(one.path)
    return found


def _kind(one: Transaction) -> str:
    if one.path.startswith("/workitems"):
        return f"{one.name} (UPS-RS)"
    if one.name.startswith("Search"):
        return "Search (QIDO-RS)"
    if one.method == "POST":
        return "Store (STOW-RS)"
    if one.method == "DELETE":
        return "Delete"
    for word in ("Metadata", "Rendered", "Thumbnail", "Pixel Data", "Bulkdata", "Frames"):
        if word in one.name:
            return f"Retrieve {word} (WADO-RS)"
    return "Retrieve (WADO-URI)" if one.path == "/wado" else "Retrieve (WADO-RS)"
