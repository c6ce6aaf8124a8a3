"""The transactions of PS3.18 that are served, as one table.

It is what OPTIONS answers with, as WADL and as JSON (PS3.18 8.9), what `docs/reference/dicomweb.md` and the
conformance statement print, and what a test holds against the routes: a resource that is served and not told of, or
told of and not served, cannot be. Paths are relative to the root of the DICOMweb services.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.web.frame_types import FAMILIES
from vesalius.web.negotiation import DICOM, DICOM_JSON, DICOM_XML, JSON, MULTIPART_XML, OCTETS

MULTIPART_DICOM = 'multipart/related; type="application/dicom"'
MULTIPART_OCTETS = 'multipart/related; type="application/octet-stream"'
MULTIPART_IMAGES = tuple(f'multipart/related; type="{media}"' for media in FAMILIES)
ZIP = "application/zip"
RENDERED = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/jp2")
VIDEO = ("video/mp4",)
DOCUMENTS = ("text/html", "text/plain", "application/pdf", "text/xml")

_STUDY = "/studies/{study}"
_SERIES = "/studies/{study}/series/{series}"
_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter."""

    name: str
    text: str
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """One method of one resource."""

    method: str
    path: str
    name: str  # the standard's name of it
    clause: str  # of PS3.18
    responses: tuple[str, ...] = ()  # media types, the default first
    requests: tuple[str, ...] = ()  # media types of the body
    parameters: tuple[Parameter, ...] = ()
    statuses: tuple[int, ...] = (200, 400, 404, 406)


ACCEPT = Parameter("accept", "stands in for the Accept header (8.3.3.1)", repeated=True)

SEARCH_PARAMETERS = (
    Parameter("{attributeID}", "match an attribute: keyword, tag, or a path of them through sequences"),
    Parameter("includefield", "attributes to answer besides the default ones, or all", repeated=True),
    Parameter("fuzzymatching", "true: person names match by how they sound"),
    Parameter("emptyvaluematching", 'true: the value "" matches what is empty'),
    Parameter("multiplevaluematching", "true: values parted by backslashes mean all of them (C.2.2.2.8), else any"),
    Parameter("limit", "most results to answer"),
    Parameter("offset", "results to pass over"),
    ACCEPT,
)
RENDERED_PARAMETERS = (
    Parameter("window", "center,width,function"),
    Parameter("viewport", "width,height, or with the part of the image to show"),
    Parameter("quality", "1 to 100, of lossy images"),
    Parameter("annotation", "patient, technique: burn in who and how, and what was lost"),
    Parameter("iccprofile", "no, yes, srgb, adobergb or rommrgb: colours and profile of the picture"),
    Parameter("presentationUID", "presentation state of the same study, to be applied"),
    ACCEPT,
)
URI_PARAMETERS = (
    Parameter("requestType", "WADO"),
    Parameter("studyUID", "and seriesUID, objectUID: the object"),
    Parameter("contentType", "media types, the preferred first"),
    Parameter("frameNumber", "from 1; also rows, columns, region, windowCenter, windowWidth, imageQuality, annotation"),
    Parameter("presentationUID", "and presentationSeriesUID: a presentation state to be applied"),
    Parameter("transferSyntax", "of a DICOM file"),
)
_FOUND = (DICOM_JSON, JSON, MULTIPART_XML)
_BULK = (MULTIPART_OCTETS, OCTETS)
_FRAMES = (MULTIPART_OCTETS, OCTETS, *MULTIPART_IMAGES)
_ALL_BULK = (MULTIPART_OCTETS, *MULTIPART_IMAGES)
_SEARCHED = (200, 400, 406, 413)
_PARTIAL = (200, 206, 400, 404, 406, 410)
_STORED = (200, 202, 400, 409, 413, 415, 503)


_ITEM = "/workitems/{workitem}"
_ITEM_BODY = (DICOM_JSON, DICOM_XML)
_SUBSCRIBER = f"{_ITEM}/subscribers/{{aet}}"
_CHANGED = (200, 400, 404, 409, 410, 415)
_CREATED = (Parameter("workitem", "UID of the workitem; also AffectedSOPInstanceUID, or the UID alone"),)
_UPDATED = (Parameter("transaction-uid", "the lock of one in progress; also transaction, or the UID alone"),)
_SUBSCRIBED = (
    Parameter("deletionlock", "true: the workitem stays until this subscription ends"),
    Parameter("filter", "attribute=value,attribute=value, of the filtered subscription", repeated=True),
)
_FOUND_ITEMS = (DICOM_JSON, JSON, MULTIPART_XML)
WORKITEMS: tuple[Transaction, ...] = (
    Transaction("POST", "/workitems", "Create Workitem", "11.4", (), _ITEM_BODY, _CREATED, (201, 400, 409, 415)),
    Transaction(
        "GET", "/workitems", "Search for Workitems", "11.9", _FOUND_ITEMS, (), SEARCH_PARAMETERS, (200, 400, 406)
    ),
    Transaction(
        "GET", _ITEM, "Retrieve Workitem", "11.5", (DICOM_JSON, JSON, DICOM_XML), (), (ACCEPT,),
        (200, 400, 404, 406, 410),
    ),
    Transaction("POST", _ITEM, "Update Workitem", "11.6", (), _ITEM_BODY, _UPDATED, _CHANGED),
    Transaction("PUT", f"{_ITEM}/state", "Change Workitem State", "11.7", (), _ITEM_BODY, (), _CHANGED),
    Transaction(
        "POST", f"{_ITEM}/cancelrequest", "Request Cancellation", "11.8", (), _ITEM_BODY, (),
        (202, 400, 404, 409, 410, 415),
    ),
    Transaction("POST", _SUBSCRIBER, "Subscribe", "11.10", (), (), _SUBSCRIBED, (201, 400, 404, 410)),
    Transaction("DELETE", _SUBSCRIBER, "Unsubscribe", "11.11", (), (), (), (200, 400, 404, 410)),
    Transaction(
        "POST", f"{_SUBSCRIBER}/suspend", "Suspend Global Subscription", "11.12", (), (), (), (200, 400, 409)
    ),
)  # fmt: skip


def _search(path: str, what: str) -> Transaction:
    return Transaction("GET", path, f"Search for {what}", "10.6", _FOUND, (), SEARCH_PARAMETERS, _SEARCHED)


TRANSACTIONS: tuple[Transaction, ...] = (
    _search("/studies", "Studies"),
    _search(f"{_STUDY}/series", "Study's Series"),
    _search(f"{_STUDY}/instances", "Study's Instances"),
    _search(f"{_SERIES}/instances", "Study's Series' Instances"),
    _search("/series", "Series"),
    _search("/series/{series}/instances", "Series' Instances"),
    _search("/instances", "Instances"),
    *(
        Transaction(
            "GET", path, f"Retrieve {what}", "10.4", (MULTIPART_DICOM, ZIP, DICOM), (), (ACCEPT,),
            (200, 206, 400, 404, 406, 410),
        )
        for path, what in ((_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"))
    ),
    *(
        Transaction(
            "GET", f"{path}/metadata", f"Retrieve {what} Metadata", "10.4.1.1.2", _FOUND, (), (ACCEPT,),
            (200, 304, 400, 404, 406, 410),
        )
        for path, what in ((_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"))
    ),
    Transaction("GET", f"{_INSTANCE}/frames/{{frames}}", "Retrieve Frames", "10.4.1.1.6", _FRAMES, (), (ACCEPT,)),
    Transaction(
        "GET", f"{_INSTANCE}/bulkdata/{{path}}", "Retrieve Bulkdata", "10.4.1.1.5", _BULK, (), (ACCEPT,),
        (200, 206, 400, 404, 406, 416),
    ),
    *(
        Transaction(
            "GET", f"{path}/bulkdata", f"Retrieve {what} Bulkdata", "10.4.1.1.5", _ALL_BULK, (), (ACCEPT,), _PARTIAL,
        )
        for path, what in ((_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"))
    ),
    *(
        Transaction(
            "GET", f"{path}/pixeldata", f"Retrieve {what} Pixel Data", "10.4.1.1.6", _ALL_BULK, (), (ACCEPT,), _PARTIAL,
        )
        for path, what in ((_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"))
    ),
    *(
        Transaction(
            "GET", f"{path}/rendered", f"Retrieve Rendered {what}", "10.4.1.1.3",
            (*RENDERED, *VIDEO, *(DOCUMENTS if path == _INSTANCE else ())), (), RENDERED_PARAMETERS,
        )
        for path, what in (
            (_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"),
            (f"{_INSTANCE}/frames/{{frames}}", "Frames"),
        )
    ),
    *(
        Transaction(
            "GET", f"{path}/thumbnail", f"Retrieve {what} Thumbnail", "10.4.1.1.4", RENDERED, (),
            (Parameter("viewport", "width,height"), ACCEPT),
        )
        for path, what in (
            (_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"),
            (f"{_INSTANCE}/frames/{{frames}}", "Frame"),
        )
    ),
    *(
        Transaction(
            "POST", path, "Store Instances", "10.5", (DICOM_JSON, DICOM_XML),
            (MULTIPART_DICOM, f'multipart/related; type="{DICOM_JSON}"', MULTIPART_XML, DICOM), (ACCEPT,), _STORED,
        )
        for path in ("/studies", _STUDY)
    ),
    *(
        Transaction(
            "DELETE", path, f"Delete {what}", "no clause: our extension", (JSON,), (),
            (Parameter("reason", "why, for the record"),), (200, 400, 404, 410),
        )
        for path, what in ((_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"))
    ),
    *WORKITEMS,
    Transaction(
        "GET", "/wado", "Retrieve by WADO-URI", "9", (*RENDERED, DICOM, *VIDEO, *DOCUMENTS), (), URI_PARAMETERS,
        (200, 304, 400, 404, 406),
    ),
)  # fmt: skip


def paths() -> dict[str, list[Transaction]]:
    """The resources and what can be done with each, in the order of the table."""
    found: dict[str, list[Transaction]] = {}
    for transaction in TRANSACTIONS:
        found.setdefault(transaction.path, []).append(transaction)
    return found
