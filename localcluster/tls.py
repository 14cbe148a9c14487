"""The cluster's certificate authority and serving certificate.

TLS even on loopback: kubectl sends no bearer token over plain http. Made once per state directory by a short-lived
child process, so that the server itself never loads the cryptography library.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ConfigError

_MAKE_SECONDS = 60
_DAYS = 3650


@dataclass(frozen=True)
class Identity:
    """Where the certificates are: the authority's, and the server's with its key."""

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A context to serve with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def ensure_identity(directory: Path, hosts: tuple[str, ...]) -> Identity:
    """The identity in ``directory``, made when missing or for other hosts; raises ConfigError."""
    identity = Identity(directory / "ca.crt", directory / "server.crt", directory / "server.key")
    listed = directory / "hosts"
    wanted = "\n".join(sorted(hosts))
    complete = all(path.exists() for path in (identity.authority, identity.certificate, identity.key, listed))
    if complete and listed.read_text() == wanted:
        return identity
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = Path(__file__).resolve().parent.parent
    code = (
        "import sys; sys.path.append(sys.argv.pop(1)); "
        "from localcluster.tls import make; make(sys.argv[1], sys.argv[2:])"
    )
    command = [sys.executable, "-c", code, str(root), str(directory), *sorted(hosts)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_MAKE_SECONDS, cwd="/")
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigError(f"the TLS certificate cannot be made: {said[-1] if said else error}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"the TLS certificate cannot be made: {error}") from error
    listed.write_text(wanted)
    return identity


def make(directory: str, hosts: list[str]) -> None:
    """In the child: write a new authority and a server certificate for the hosts (names or addresses)."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    begin, end = now - datetime.timedelta(days=1), now + datetime.timedelta(days=_DAYS)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "asperathos-localcluster-ca")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "asperathos-localcluster")])
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    ca_usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    authority = (
        x509.CertificateBuilder()
        .subject_name(ca_name)
        .issuer_name(ca_name)
        .public_key(ca_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ca_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # The authority's key is not kept: nothing else is ever to be signed with it.
    for file, data in (
        ("server.key", private),
        ("server.crt", certificate.public_bytes(encoding)),
        ("ca.crt", authority.public_bytes(encoding)),
    ):
        descriptor = os.open(Path(directory) / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
