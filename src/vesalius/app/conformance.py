"""The DICOM conformance statement, a build product: every list in it is read from the table that the server obeys.

It follows the outline of PS3.2 Annex N. What the text says besides the tables are promises and policies that tests
hold; a statement that drifted from the code would be worse than none, so the page in `docs/reference` is compared
with this module by a test, and another test negotiates with the server what is listed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vesalius import __version__
from vesalius.app.conformance_performed import modality_worklist, performed_steps
from vesalius.app.conformance_ups import workitems
from vesalius.app.conformance_workflow import availability, commitment
from vesalius.app.dicomweb import conformance
from vesalius.app.settings import ServerSettings
from vesalius.app.settings_limits import LimitSettings
from vesalius.dimse import contexts
from vesalius.dimse.answers import ANSWERS
from vesalius.dimse.client import IMPLEMENTATION_VERSION
from vesalius.model.attributes import ATTRIBUTES, SEQUENCES
from vesalius.model.attributes_table import ColumnKind, KeyType
from vesalius.model.entities import RIGHTS, Level
from vesalius.model.identifiers import IMPLEMENTATION_CLASS_UID
from vesalius.standard import sop_classes as sop
from vesalius.standard import transfer_syntaxes as ts
from vesalius.standard.dictionary import keyword_of
from vesalius.standard.edition import EDITION
from vesalius.standard.statuses import describe, kind_of
from vesalius.wire.ul_table import ACTIONS, EXTENSIONS

_MATCHING = {
    ColumnKind.TEXT: "single value, wildcard",
    ColumnKind.NAME: "single value, wildcard, fuzzy",
    ColumnKind.UID: "single value, list of UID",
    ColumnKind.DATE: "single value, range",
    ColumnKind.TIME: "single value, range",
    ColumnKind.DATETIME: "single value, range",
    ColumnKind.INTEGER: "single value",
    ColumnKind.DECIMAL: "single value",
    ColumnKind.MULTI: "single value, wildcard; any of its values",
    ColumnKind.SEQUENCE: "sequence",
}
_MATCHING_OF = {
    (ColumnKind.MULTI, "UI"): "single value, list of UID; any of its values",
    (ColumnKind.MULTI, "DS"): "single value; any of its values",
    (ColumnKind.MULTI, "IS"): "single value; any of its values",
}
# Never matched: they say how the others are meant (PS3.4 C.2.2.2).
_NO_KEYS = {
    0x00080005: "not matched: the repertoire of the request",
    0x00080201: "not matched: the zone of the request",
}
# What a code means here, where the standard uses it for several things.
_MEANING = {0xB000: "sub-operations complete, one or more failures or warnings"}
_KEY = {KeyType.UNIQUE: "unique", KeyType.REQUIRED: "required", KeyType.OPTIONAL: "optional"}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(' --- ' for _ in head)}|"]
    lines += [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def services_offered() -> list[tuple[str, str, str, str]]:
    """(UID, name, as SCU, as SCP) of every service but Storage."""
    rows = [(sop.VERIFICATION, sop.name_of(sop.VERIFICATION), "yes", "yes")]
    provider_only = frozenset(sop.UPS_CLASSES)
    rows += [
        (uid, sop.name_of(uid), "no" if uid in provider_only else "yes", "yes")
        for uid in (*contexts.QUERY_RETRIEVE, *contexts.NORMALIZED)
    ]
    return rows


def _overview() -> Iterator[str]:
    yield "## 1 Overview"
    yield (
        f"Vesalius {__version__} is an archive: it stores composite instances of every kind, finds them, and gives "
        "them back as they came, byte for byte. It is one application entity, user and provider of each service "
        f"below, over the network (PS3.8), with or without TLS. The tables are those of DICOM {EDITION}."
    )
    current = sum(1 for known in sop.STORAGE.values() if not known.retired and not known.private)
    retired = sum(1 for known in sop.STORAGE.values() if known.retired)
    private = sum(1 for known in sop.STORAGE.values() if known.private and not known.retired)
    yield table(
        ("SOP class", "Name", "User (SCU)", "Provider (SCP)"),
        (
            *services_offered(),
            ("see 9.1", f"Storage: {current} current, {retired} retired, {private} private classes by name, "
             "and any further one by rule", "yes", "yes"),
        ),
    )  # fmt: skip


def _introduction() -> Iterator[str]:
    yield "## 2 Table of contents"
    yield "\n".join(
        (
            "1. Overview",
            "2. Table of contents",
            "3. Introduction",
            "4. Implementation model",
            "5. Service and interoperability description",
            "6. Configuration",
            "7. Network and media communication details",
            "8. Security",
            "9. Annexes: SOP classes, query keys",
        )
    )
    yield "## 3 Introduction"
    yield (
        "This statement is generated from the tables that the program itself uses; it cannot list what is not "
        "served. It says how this implementation behaves, not that two systems interoperate: that is tested between "
        "the two. Words are those of the standard; codes such as A700 are hexadecimal."
    )


def _model() -> Iterator[str]:
    yield "## 4 Implementation model"
    yield (
        "One application entity with one AE title. As provider it listens on one port (and one for TLS), shared by "
        "several worker processes. As user it opens associations for `vesalius send`, `find`, `retrieve`, `echo`, "
        "and for the sub-operations of C-MOVE. What is received on one association can be found on every other "
        "one as soon as the response with status 0000 has been sent."
    )
    yield table(
        ("As user", "Opened by", "Proposes"),
        (
            ("Verification", "`vesalius echo`, `vesalius peers test`", "Explicit and Implicit VR Little Endian"),
            ("Storage", "`vesalius send`, C-MOVE of a peer; an association is used again for `limits.reuse`",
             "a context for each class and stored transfer syntax, and the two above"),
            ("FIND", "`vesalius find --peer`, and before a C-GET to learn the classes of the study",
             "relational queries, combined date-time matching, fuzzy names where asked for"),
            ("MOVE, GET", "`vesalius retrieve --peer`",
             "GET: the storage classes with this side as SCP, each compressed transfer syntax in a context of its own"),
            ("Storage commitment", "`vesalius commit`, results of requests of peers", "results: this side as SCP"),
            ("Instance availability", "`vesalius notify`, studies that have gone quiet", "the two above"),
            ("Modality worklist", "`vesalius worklist`, the simulated modality", "Modality Worklist - FIND"),
            ("Performed steps", "steps told of by others, for peers with `forward-mpps`", "MPPS, MPPS Retrieve"),
            ("Unified Procedure Step, Event", "what subscribers are told", "this side as SCP"),
        ),
    )  # fmt: skip
    yield (
        "A peer's warning is reported and the instance counted as sent; a failure is reported and the next one goes "
        "on; a peer that does not answer within `limits.response` ends the association with A-ABORT."
    )


def _storage() -> Iterator[str]:
    options = contexts.STORAGE_OPTIONS
    yield "### 5.2 Storage"
    yield (
        f"Level {options.level} (Full): every element is kept, private ones too; nothing is coerced and nothing "
        "discarded. Digital signatures stay valid because the data set is kept bit for bit (level "
        f"{options.signature})."
    )
    yield (
        "A storage class is accepted if it is in table 9.1, or under the root of the standard's storage classes and "
        "not known to be something else, or under a private root, or declared to be a storage class by SOP Class "
        "Common Extended Negotiation."
    )
    yield "What a response promises:"
    yield table(
        ("Response", "Promise"),
        (
            (
                "0000",
                "All of this instance is on stable storage and indexed. It survives the death of any process, a loss "
                "of power and a full disk. It can be found at once. To repeat it is harmless. A second copy is not "
                "promised by this response.",
            ),
            ("failure, A-ABORT, lost connection", "Nothing of it can ever be seen. It is safe to send it again."),
        ),
    )
    yield (
        "The same SOP Instance UID with the same content: 0000, and nothing is written. Content is the same if the "
        "bytes are, or if two data sets differ in their encoding alone: another native transfer syntax, other lengths "
        "of sequences and items, group lengths, padding. With other content: the first stays current, the second is "
        "kept beside it as a conflict and reported by `vesalius notes`, and the "
        "response is 0000; for a peer with `refuse_conflicts` it is refused instead. A data set whose values break "
        "the rules of their VR is kept as sent, and a note is made (`vesalius notes`); such a value cannot be matched."
    )
    yield (
        "**Preamble** (PS3.10 7.5): only the data set is kept. The 128 bytes of a file's preamble are discarded on "
        "import, whatever they hold, and every file that Vesalius writes (packs, export) has a preamble of zeros. "
        "Files that are valid in another format as well (PE, ELF, TIFF, ...) therefore lose that second nature."
    )


def _query_retrieve() -> Iterator[str]:
    query = contexts.QUERY_OPTIONS
    yield "### 5.3 Query and retrieve"
    names = {
        "relational": "relational queries",
        "combined_datetime": "combined date-time matching",
        "fuzzy_names": "fuzzy semantic matching of person names",
        "timezone_adjustment": "timezone query adjustment",
        "empty_value_matching": "empty value matching",
        "multiple_value_matching": "multiple value matching: all of the values (C.2.2.2.8)",
    }
    yield (
        "Extended negotiation of the FIND classes (PS3.4 C.5.1.1). What is not negotiated is not done, but that "
        "several values in one key then mean any of them, and that a time zone is always regarded:"
    )
    yield table(
        ("Option", "Supported"),
        [(text, "yes" if getattr(query, name) else "no") for name, text in names.items()]
        + [("enhanced multi-frame image conversion", "no")],
    )
    yield f"Of MOVE and GET: relational retrieval, {'yes' if contexts.RETRIEVE_OPTIONS.relational else 'no'}."
    yield (
        "Matching (PS3.4 C.2.2.2). Person names match without regard to case, accents and missing components, each "
        "component group by itself (wildcards too); fuzzy matching compares how words sound. All other text matches "
        "with regard to case. Numbers match by value (`1` finds `001`) and are answered as they were written. Dates "
        "and times match by meaning; a range is inclusive. Of a sequence the items that match are answered, with "
        "the keys that were asked for; sequences inside sequences are matched as well. Characters of the request that "
        "cannot be decoded match nothing."
    )
    yield (
        "A key that is not in table 9.2 is neither matched nor returned, and the pending status is FF01. Keys of the "
        "levels above are matched and returned in hierarchical queries, too. Keys below the level of the query are "
        "matched where relational queries are negotiated, and never returned: a study is an answer where one series "
        "of it satisfies every key of series and, with keys of instances, one instance in that series satisfies "
        "those. One that matches everything, or stands in a hierarchical query, is FF01. A value that cannot be read "
        "(a reversed range, a date that does not exist, a UID that is none) is refused with C000 and the Offending "
        "Element. Every answer holds the unique keys of its level and above, Query/Retrieve Level, Retrieve AE Title "
        "and Instance Availability (always ONLINE); a key without a value is answered empty. Answers have no order to"
        " rely on. Priority is not regarded."
    )
    yield (
        "Time zone. Timezone Offset From UTC in a request gives the zone of its dates and times, whether negotiated or "
        "not: they are compared as instants with those of instances that name their own zone, and as they stand with "
        "all others. Dates and times are answered as they were received, never shifted; asked for, Timezone Offset "
        "From UTC is in the answer where the instances name one, and absent where they do not. A range of times does "
        "not cross midnight."
    )
    yield (
        "A C-CANCEL-RQ ends a query, C-MOVE or C-GET with FE00. C-MOVE goes only to configured peers, and only to "
        "those that the requester may name. An instance is sent in the transfer syntax in which it was received if "
        "the receiver accepts it, else decoded to one that loses nothing; if neither is possible the sub-operation "
        "fails. Before it is sent its digest is compared; a damaged instance is never sent, its sub-operation fails."
    )


def _statuses() -> Iterator[str]:
    yield "### 5.4 Status codes"
    yield (
        "These are all that is answered. A failure carries an Error Comment (0000,0902), and the Offending Element "
        "(0000,0901) where one is to blame."
    )
    for service, answers in ANSWERS.items():
        yield f"{'Any service' if service == 'any' else service}:"
        yield table(
            ("Status", "Meaning", "Kind", "Given when"),
            [
                (f"{status:04X}", _MEANING.get(status) or describe(status)[5:], kind_of(status).value, when)
                for status, when in sorted(answers.items())
            ],
        )
    yield (
        "C-MOVE and C-GET: Failed SOP Instance UID List (0008,0058) names the instances of the sub-operations that "
        "failed; those that were answered with a warning are counted and not named."
    )


def _configuration() -> Iterator[str]:
    server = ServerSettings()
    yield "## 6 Configuration"
    yield table(
        ("What", "Default", "Setting"),
        (
            ("AE title", server.ae_title, "`server.ae_title`"),
            ("Address", server.host, "`server.host`"),
            ("Port", server.dimse_port, "`server.dimse_port`"),
            ("Port for TLS", f"{server.dimse_tls_port}, where there is a certificate", "`server.dimse_tls_port`"),
            ("Peers", "none", "`[[peers]]`, `vesalius peers add`"),
        ),
    )
    yield "Every setting, with its default and the reason for it, is in [settings](settings.md)."


def _network() -> Iterator[str]:
    limits = LimitSettings()
    yield "## 7 Network and media communication details"
    yield table(
        ("Parameter", "Value"),
        (
            ("Application context", "1.2.840.10008.3.1.1.1"),
            ("Implementation class UID", IMPLEMENTATION_CLASS_UID),
            ("Implementation version name", IMPLEMENTATION_VERSION),
            ("Maximum length received", f"{limits.max_pdu} (`limits.max_pdu`); sent: never more than the peer takes"),
            ("Associations at once", f"{limits.associations} a worker process; one more: A-ASSOCIATE-RJ 2/3/2"),
            ("Associations opened at once", f"{limits.sub_operations} retrieves a worker process, each to its "
             f"destination on {limits.move_pipelines} (`limits.sub_operations`, `limits.move_pipelines`)"),
            ("Asynchronous operations window", f"{limits.operations} performed (`limits.operations`); 1 invoked"),
            ("Presentation contexts", f"up to {contexts.MAXIMUM_CONTEXTS}"),
            ("SCP/SCU role selection", "of the storage classes, for C-GET; of storage commitment and "
             "UPS Event, for what is told"),
            ("SOP class extended negotiation", "Storage, FIND, MOVE and GET, as said above"),
            ("SOP class common extended negotiation", "understood: it makes an unknown class a storage class"),
            ("User identity", "understood and handed to the authorization hook"),
            ("ARTIM timer", f"{limits.artim:g} s (`limits.artim`)"),
            ("Idle association", f"A-ABORT 0/0 after {limits.idle:g} s (`limits.idle`)"),
            ("Stalled peer", f"closed after {limits.network:g} s (`limits.network`)"),
            ("Peer that is called", f"must accept within {limits.connect:g} s (`limits.connect`) and answer within "
             f"{limits.response:g} s (`limits.response`)"),
            ("Stop of the service", "A-ASSOCIATE-RJ 2/3/1; idle associations A-ABORT 0/0, others after `server.grace`"),
        ),
    )  # fmt: skip
    yield "### 7.1 Transfer syntaxes"
    yield (
        "A storage context is accepted with any transfer syntax, unknown and private ones included, because the data "
        "set is kept as sent. Where a context proposes several, the first of this list is taken, else the first "
        "proposed:"
    )
    yield table(("Transfer syntax", "Name"), [(uid, ts.lookup(uid).name) for uid in contexts.STORAGE_PREFERENCE])
    yield "All other services, in this order:"
    yield table(("Transfer syntax", "Name"), [(uid, ts.lookup(uid).name) for uid in contexts.SERVICE_PREFERENCE])
    yield "### 7.2 Where the state table is extended"
    yield ("The upper layer walks Table 9-10 of PS3.8 as printed. These cells, blank there, are filled on purpose:")
    yield table(
        ("Event", "State", "Action", "Reason"),
        [
            (one.cause.value, one.state.value, f"{one.action}: {ACTIONS[one.action].text}", one.reason)
            for one in EXTENSIONS
        ],
    )
    yield "### 7.3 Character sets"
    yield (
        "All repertoires of PS3.3 C.12.1.1.2 are understood: single byte and with code extensions (ISO 2022), UTF-8 "
        "(ISO_IR 192), GB18030 and GBK. An answer to a query is encoded in the repertoire of the request where that "
        "can hold it, else in ISO_IR 192, and says so in Specific Character Set. Stored data sets keep theirs."
    )


def _security() -> Iterator[str]:
    yield "## 8 Security"
    yield (
        "By default only this machine can connect. An address that is not loopback needs TLS, or the setting "
        "`server.insecure_plain_dicom`. TLS is 1.2 or 1.3 with ephemeral keys and authenticated ciphers (BCP 195; "
        "PS3.15 B.12), on its own port; with `server.tls_ca` a client must present a certificate."
    )
    yield (
        "Off loopback a caller must be a configured peer: an unknown calling AE title is rejected with 1/1/3, a "
        "wrong called AE title with 1/1/7. A peer has rights (" + ", ".join(RIGHTS) + "), none by default; what it may "
        "not do is answered with 0124. C-MOVE needs the right to name the destination. With "
        "`server.check_peer_addresses` a peer must call from the address that it is configured with."
    )


def _annexes() -> Iterator[str]:
    yield "## 9 Annexes"
    yield "### 9.1 Storage SOP classes known by name"
    yield table(
        ("SOP class", "Name", "Remark"),
        [
            (uid, known.name, "retired" if known.retired else "private" if known.private else "")
            for uid, known in sorted(sop.STORAGE.items(), key=lambda item: (item[1].private, item[1].name))
        ],
    )
    yield "### 9.2 Query keys"
    for level in Level:
        rows = [
            (
                row.name_of_tag,
                row.keyword,
                row.vr,
                _KEY[row.key],
                _NO_KEYS.get(row.tag)
                or _MATCHING_OF.get((row.kind, row.vr), _MATCHING[row.kind]) + (", computed" if row.computed else ""),
            )
            for row in ATTRIBUTES
            if row.level is level
        ]
        yield f"#### {level.name.title()} level"
        yield table(("Tag", "Keyword", "VR", "Key", "Matching besides universal"), rows)
    yield "Inside sequences:"
    yield table(
        ("Sequence", "Keys"),
        [(keyword_of(tag), ", ".join(keyword_of(inner) for inner in nested)) for tag, nested in SEQUENCES.items()],
    )


def statement() -> str:
    """The whole statement as Markdown."""
    parts = ["# DICOM conformance statement", "<!-- Generated by tools/generate_docs.py: do not edit. -->"]
    parts += _overview()
    parts += _introduction()
    parts += _model()
    parts += ["## 5 Service and interoperability description", "### 5.1 Verification"]
    parts += ["C-ECHO is answered 0000 to every caller that was let in, and can be sent by `vesalius echo`."]
    sections = (_storage, _query_retrieve, _statuses, conformance, commitment, availability, workitems,
                modality_worklist, performed_steps)  # fmt: skip
    for part in (*sections, _configuration, _network, _security, _annexes):
        parts += part()
    return "\n\n".join(parts) + "\n"
