"""Serving over HTTPS: a context from the two files of --tls-certfile and --tls-keyfile."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from engine.core.errors import SettingsError
from engine.core.settings import Settings

__all__ = ["tls_context"]

_PAIR_HINT = "Give both files in PEM form, or neither."


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The context to serve with; None for plain HTTP. TLS 1.2 at least, as Python's default for servers is.

    Raises SettingsError naming the file that is missing, cannot be read, or is not what it should be.
    """
    certificate, key = settings.tls_certfile, settings.tls_keyfile
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        given, missing = ("--tls-certfile", "--tls-keyfile") if key is None else ("--tls-keyfile", "--tls-certfile")
        raise SettingsError(f"{given} was given without {missing}.", code="bad_tls_files", hint=_PAIR_HINT)
    for flag, path in (("--tls-certfile", certificate), ("--tls-keyfile", key)):
        _check_readable(flag, path)
    _check_certificate(certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def refuse_password() -> NoReturn:
        # Without this, OpenSSL would stop and ask on the terminal.
        _refuse(f"--tls-keyfile {key} is encrypted.", "Decrypt it: openssl pkey -in KEY -out PLAIN_KEY.")

    try:
        context.load_cert_chain(certificate, key, refuse_password)
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            _refuse(
                f"--tls-keyfile {key} is not the key of the certificate in --tls-certfile {certificate}.",
                "Give the two files that were made together; in a chain the server's own certificate comes first.",
            )
        _refuse(f"--tls-keyfile {key} holds no private key.", "Give a PEM file: -----BEGIN PRIVATE KEY-----.")
    return context


def _check_readable(flag: str, path: Path) -> None:
    try:
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        _refuse(f"{flag} {path} cannot be read: {error.strerror}.", "Check the file's name and who may read it.")


def _check_certificate(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        _refuse(f"--tls-certfile {path} holds no certificate.", "Give a PEM file: -----BEGIN CERTIFICATE-----.")


def _refuse(sentence: str, hint: str) -> NoReturn:
    raise SettingsError(sentence, code="bad_tls_files", hint=hint)
