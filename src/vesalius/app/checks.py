"""What must be right before anything is bound: nothing is open to a network by accident (T1).

Each check raises `SettingsError` that names the setting and says what to do; `vesalius serve` prints it and ends
with exit code 2 before a port is open or a file is made.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from vesalius.app.settings import Settings
from vesalius.dimse.access import is_ae_title
from vesalius.model.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that `serve` opens."""

    host: str
    port: int  # 0: any free one, settled when it is reserved
    tls: bool

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Everything that `serve` opens."""

    dimse: tuple[Listener, ...]
    http: Listener
    hl7: tuple[Listener, ...] = ()


def is_loopback(host: str) -> bool:
    """Whether every address of `host` is one of this machine alone. Raises `SettingsError` for an unknown name."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)  # noqa: S104  (a question, no bind)
    except OSError:
        raise SettingsError(f"the address {host!r} is not known on this machine") from None
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def worker_count(settings: Settings) -> int:
    """`server.workers`, or one for each processor this process may use, at most 8."""
    return settings.server.workers or max(1, min(8, len(os.sched_getaffinity(0))))


def web_worker_count(settings: Settings) -> int:
    """`server.web_workers`, or one for every four processors this process may use, from 1 to 4."""
    return settings.server.web_workers or max(1, min(4, len(os.sched_getaffinity(0)) // 4))


def listeners(settings: Settings) -> Listeners:
    """What the settings open. Raises `SettingsError` where that would be open by accident."""
    server = settings.server
    has_tls = bool(server.tls_certificate)
    dimse = []
    if is_loopback(server.host) or server.insecure_plain_dicom:
        dimse.append(Listener(server.host, server.dimse_port, tls=False))
    elif has_tls:
        # TLS serves the network; the plain port stays for the tools of this machine.
        dimse.append(Listener("127.0.0.1", server.dimse_port, tls=False))
    else:
        raise SettingsError(
            f"server.host is {server.host}, which is not loopback, and DICOM there would be neither encrypted nor "
            "proven",
            hint="Set server.tls_certificate (and server.tls_ca), or say --insecure-plain-dicom "
            "(server.insecure_plain_dicom = true) if a closed network or a tunnel protects it.",
        )
    if has_tls:
        dimse.append(Listener(server.host, server.dimse_tls_port, tls=True))
    http_tls = has_tls and not is_loopback(server.http_host) and not server.insecure_plain_http
    if not is_loopback(server.http_host) and not server.insecure_plain_http and not has_tls:
        raise SettingsError(
            f"server.http_host is {server.http_host}, which is not loopback, and HTTP there would not be encrypted",
            hint="Set server.tls_certificate, or say --insecure-plain-http (server.insecure_plain_http = true).",
        )
    return Listeners(tuple(dimse), Listener(server.http_host, server.http_port, http_tls), hl7_listeners(settings))


def hl7_listeners(settings: Settings) -> tuple[Listener, ...]:
    """The MLLP ports, by the same rule as the DICOM ports. Raises `SettingsError`."""
    hl7, has_tls = settings.hl7, bool(settings.server.tls_certificate)
    if not hl7.listen:
        return ()
    loopback = is_loopback(hl7.host)
    if not hl7.sources and not (loopback and hl7.allow_unknown_on_loopback):
        raise SettingsError(
            "hl7.listen is on, and nobody may send", hint="Name the systems that send: [[hl7.sources]] with name, "
            "application, facility and addresses."
        )  # fmt: skip
    if loopback or hl7.insecure_plain:
        found = [Listener(hl7.host, hl7.port, tls=False)]
    elif has_tls:
        # TLS serves the network; the plain port stays for the tools of this machine.
        found = [Listener("127.0.0.1", hl7.port, tls=False)]
    else:
        raise SettingsError(
            f"hl7.host is {hl7.host}, which is not loopback, and HL7 there would be neither encrypted nor proven",
            hint="Set server.tls_certificate (and server.tls_ca), or hl7.insecure_plain = true if a closed network or "
            "a tunnel protects it.",
        )
    if has_tls:
        found.append(Listener(hl7.host, hl7.tls_port, tls=True))
    return tuple(found)


def check_hl7(settings: Settings) -> None:
    """Sources and destinations. Raises `SettingsError`."""
    from vesalius.hl7.charsets import term_of
    from vesalius.hl7.mapping import FieldMap

    hl7 = settings.hl7
    for kind, rows in (("sources", hl7.sources), ("destinations", hl7.destinations)):
        names = [one.name for one in rows]
        if len(names) != len(set(names)):
            raise SettingsError(f"hl7.{kind}: two have the same name")
        for one in rows:
            if term_of(one.charset) is None:
                raise SettingsError(
                    f"hl7.{kind}: {one.name}: the character set {one.charset!r} is not known",
                    hint='Write a value of HL7 table 0211, as "UNICODE UTF-8" or "8859/1".',
                )
    for source in hl7.sources:
        FieldMap({field.name: field.path for field in source.fields})
        for address in source.addresses:
            try:
                ipaddress.ip_network(address, strict=False)
            except ValueError:
                raise SettingsError(
                    f"hl7.sources: {source.name}: {address!r} is no address and no network",
                    hint="Write it in numbers, as 10.1.2.3 or 10.1.2.0/24.",
                ) from None
    for target in hl7.destinations:
        if not target.tls and not target.insecure_plain and not _is_near(target.host):
            raise SettingsError(
                f"hl7.destinations: {target.name}: HL7 to {target.host} would not be encrypted",
                hint="Set tls = true, or insecure_plain = true if a closed network or a tunnel protects it.",
            )


def _is_near(host: str) -> bool:
    """Whether a destination is this machine; a name that is not known now may be known later, and is far."""
    try:
        return is_loopback(host)
    except SettingsError:
        return False


def check(settings: Settings) -> Listeners:
    """All checks that need no open file. Raises `SettingsError`."""
    if not is_ae_title(settings.server.ae_title):
        raise SettingsError(
            "server.ae_title must be 1 to 16 printable ASCII characters without backslash (PS3.5 6.2, AE)"
        )
    for peer in settings.peers:
        if not is_ae_title(peer.aet or peer.name):
            raise SettingsError(f"peers: {peer.name}: not a legal AE title (PS3.5 6.2, AE)", hint="Set aet.")
    names = [peer.name for peer in settings.peers]
    if len(names) != len(set(names)):
        raise SettingsError("peers: two peers have the same name")
    places = [copy.name for copy in settings.store.copies]
    if len(places) != len(set(places)):
        raise SettingsError("store.copies: two places have the same name")
    for name in ("tls_certificate", "tls_key", "tls_ca"):
        path = getattr(settings.server, name)
        if path and not Path(path).is_file():
            raise SettingsError(f"server.{name}: there is no file {path}")
    check_hl7(settings)
    return listeners(settings)


def reserve(listener: Listener) -> tuple[Listener, socket.socket]:
    """Make sure that the port is free, and keep it for the workers. Raises `SettingsError` where it is taken.

    The socket is bound with SO_REUSEPORT but never listens, so it takes no connection from the workers; it only
    keeps others from taking the port while a worker restarts.
    """
    family, kind, _, _, address = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM)[0]
    probe = socket.socket(family, kind)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(address)
        # Two servers that both say SO_REUSEADDR may bind one port; only listening tells them apart.
        probe.listen(1)
        port = int(probe.getsockname()[1])
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {listener.host}:{listener.port}: {error.strerror}",
            hint="Another program has the port: stop it, or choose another one.",
        ) from None
    finally:
        probe.close()
    held = socket.socket(family, kind)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((address[0], port, *address[2:]))
    return Listener(listener.host, port, listener.tls), held
