"""The settings of HL7: where it listens, who may send, whom we tell what."""

from __future__ import annotations

from typing import Annotated, Literal

from vesalius.app.settings_base import Section, setting


class Hl7FieldSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another place for one of the rows of docs/reference/hl7.md."""

    name: Annotated[str, setting('Name of the row, as "order.accession".', why="Required.", min_length=1)]
    path: Annotated[
        str,
        setting(
            'Where this source writes it: "OBR-20.1", several with |; "=text" is the text itself.', why="Required."
        ),
    ]


class Hl7SourceSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A system that may send HL7 messages here."""

    name: Annotated[str, setting("Name in logs, events and lists.", why="Required.", pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    application: Annotated[
        str, setting("Its sending application (MSH-3.1); empty: any.", why="Name it: it is half of who it is.")
    ] = ""
    facility: Annotated[str, setting("Its sending facility (MSH-4.1); empty: any.", why="The other half.")] = ""
    addresses: Annotated[
        tuple[str, ...],
        setting(
            "Addresses or networks that it calls from; none: any.", why="Set it: names in a message prove nothing."
        ),
    ] = ()
    merges: Annotated[
        bool,
        setting(
            "Whether its merges and changed identifiers (A40, A47) count.",
            why="Off: a merge moves images under another patient. Turn it on for the one system that keeps identities.",
        ),
    ] = False
    charset: Annotated[
        str,
        setting("Character set of messages whose MSH-18 is empty (table 0211).", why="What new systems write."),
    ] = "UNICODE UTF-8"
    issuer: Annotated[
        str,
        setting(
            "Issuer of patient identifiers without an assigning authority.",
            why="Empty: the default issuer of the workflow.",
        ),
    ] = ""
    fields: Annotated[
        tuple[Hl7FieldSettings, ...],
        setting("Fields that it fills in its own way.", why="None: the default rows of docs/reference/hl7.md."),
    ] = ()


class Hl7DestinationSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A system that we send HL7 messages to."""

    name: Annotated[
        str,
        setting(
            "Name of its queue; the same as that of a source where both are one system, which then is not told what "
            "it said itself.",
            why="Required.",
            pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        ),
    ]
    host: Annotated[str, setting("Host name or address.", why="Required.", min_length=1)]
    port: Annotated[int, setting("Port that it listens on.", why="Required.", ge=1, le=65535)]
    tls: Annotated[bool, setting("Reach it over TLS.", why="Off: many interface engines still cannot.")] = False
    insecure_plain: Annotated[
        bool,
        setting(
            "Send without TLS to an address that is not loopback.",
            why="Off: names would cross the network readable. Say it aloud to have it.",
        ),
    ] = False
    application: Annotated[str, setting("Receiving application (MSH-5).", why="Yours.")] = ""
    facility: Annotated[str, setting("Receiving facility (MSH-6).", why="Yours.")] = ""
    charset: Annotated[
        str, setting("Character set of our messages (table 0211).", why="Every name fits into UTF-8.")
    ] = "UNICODE UTF-8"
    version: Annotated[
        Literal["2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"],
        setting("Version that our messages name (MSH-12).", why="The one of IHE Radiology."),
    ] = "2.5.1"
    sends: Annotated[
        tuple[Literal["orders", "schedule", "charges", "images"], ...],
        setting("What it is told: status of orders, appointments, charges, images available.", why="Nothing unasked."),
    ] = ()
    order_message: Annotated[
        Literal["ORM", "OMI"],
        setting("Message of a status of an order.", why="ORM^O01 is understood everywhere, OMI^O23 from 2.5 on."),
    ] = "ORM"


class Hl7Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HL7 v2 over MLLP, in and out."""

    listen: Annotated[
        bool, setting("Whether to listen for HL7 messages.", why="Off: nothing is open until somebody says so.")
    ] = False
    host: Annotated[
        str, setting("Address that the HL7 ports bind to.", why="Loopback: MLLP has no sign-in of its own.")
    ] = "127.0.0.1"
    port: Annotated[
        int, setting("Port for plain MLLP; 0 takes a free one.", why="2575 is registered for HL7.", ge=0, le=65535)
    ] = 2575
    tls_port: Annotated[
        int,
        setting(
            "Port for MLLP over TLS, with `server.tls_certificate` and `server.tls_ca`; 0 takes a free one.",
            why="The next one.",
            ge=0,
            le=65535,
        ),
    ] = 2576
    insecure_plain: Annotated[
        bool,
        setting(
            "Serve MLLP without TLS on an address that is not loopback.",
            why="Off: names would cross the network readable and unproven. Say it aloud to have it.",
        ),
    ] = False
    allow_unknown_on_loopback: Annotated[
        bool,
        setting(
            "Where the port listens on loopback alone, senders that are no sources may send anything but merges.",
            why="On: the first steps work. On any other address an unknown sender is answered AR.",
        ),
    ] = True
    accept_test: Annotated[
        bool,
        setting(
            "Take messages of training and debugging (MSH-11 T and D).", why="Off: they are about nobody (AR 202)."
        ),
    ] = False
    application: Annotated[str, setting("Our name in MSH-3.", why="The product's.", min_length=1)] = "VESALIUS"
    facility: Annotated[str, setting("Our place in MSH-4.", why="Yours.")] = ""
    message_size: Annotated[
        int,
        setting(
            "Largest message; the connection of a larger one is closed without an answer.",
            why="16 MiB: a message with a document in it.",
            unit="bytes",
            ge=1 << 10,
            le=1 << 30,
        ),
    ] = 16 << 20
    connections: Annotated[
        int, setting("Connections to one worker process; one more is closed.", why="Systems keep a few each.", ge=1)
    ] = 64
    block_timeout: Annotated[
        float,
        setting("How long a message may take to arrive.", why="As `limits.network`.", unit="seconds", gt=0),
    ] = 60.0
    idle: Annotated[
        float,
        setting(
            "A connection without a message for so long is closed.", why="Senders open another.", unit="seconds", gt=0
        ),
    ] = 3600.0
    connect: Annotated[
        float, setting("How long reaching a destination may take.", why="As `limits.connect`.", unit="seconds", gt=0)
    ] = 10.0
    acknowledgement: Annotated[
        float,
        setting(
            "How long a destination may take to acknowledge.", why="Interface engines queue.", unit="seconds", gt=0
        ),
    ] = 30.0
    retry_first: Annotated[
        float,
        setting(
            "Wait before a second try; doubled each time.", why="Most failures are a restart.", unit="seconds", gt=0
        ),
    ] = 1.0
    retry_longest: Annotated[
        float, setting("Longest wait between two tries.", why="Five minutes.", unit="seconds", gt=0)
    ] = 300.0
    refusals: Annotated[
        int,
        setting(
            "How often a message is sent that the destination answers AE; then it is held for a person.",
            why="Three: what is an error three times stays one, and the queue behind it waits.",
            ge=1,
        ),
    ] = 3
    queue: Annotated[
        int,
        setting(
            "Messages that may wait for one destination; beyond that the events of the workflow wait instead.",
            why="A week's worth of a large hospital.",
            ge=1,
        ),
    ] = 100_000
    keep: Annotated[
        float,
        setting(
            "How long accepted and sent messages are kept; so long a control id is remembered, too.",
            why="Ninety days: longer than anybody sends a message again.",
            unit="seconds",
            ge=3600,
        ),
    ] = 90 * 86400.0
    sources: Annotated[
        tuple[Hl7SourceSettings, ...], setting("Who may send: `[[hl7.sources]]`.", why="Yours to name.")
    ] = ()
    destinations: Annotated[
        tuple[Hl7DestinationSettings, ...], setting("Whom we tell: `[[hl7.destinations]]`.", why="Yours to name.")
    ] = ()
