"""TLS as the settings say: who we are to those who call, and whom we believe when we call."""

from __future__ import annotations

import ssl

from vesalius.app.settings import Settings
from vesalius.model.errors import SettingsError


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """The context of the TLS port (BCP 195: 1.2 at least, 1.3 preferred; PS3.15 B.12); None without a certificate."""
    server = settings.server
    if not server.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    _load_chain(context, settings)
    if server.tls_ca:
        context.load_verify_locations(cafile=server.tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED if server.tls_require_client_certificate else ssl.CERT_OPTIONAL
    return context


def client_tls(settings: Settings) -> ssl.SSLContext | None:
    """The context for peers with `tls`: they must prove their name; our certificate is shown where there is one."""
    server = settings.server
    context = ssl.create_default_context(cafile=server.tls_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if server.tls_certificate:
        _load_chain(context, settings)
    return context


def _load_chain(context: ssl.SSLContext, settings: Settings) -> None:
    server = settings.server
    try:
        context.load_cert_chain(server.tls_certificate, server.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"server.tls_certificate: cannot be loaded: {type(error).__name__}",
            hint="A PEM file with the chain, and its key there or in server.tls_key, without a passphrase.",
        ) from None
