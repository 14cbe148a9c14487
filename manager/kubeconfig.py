"""Reads what a user gives as a kubeconfig: one context, an http(s) server, no programs, nothing from our disk. Pure.

What is wrong is named by its place; no message quotes what is in the text, since most of it is secret.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from common.domain.clusters import CLUSTER_FILES, CLUSTER_NAME, TOKEN_FILE, USER_FILES, file_name, missing
from common.domain.errors import BadRequest, Fault
from common.http.body import read_yaml

MAX_KUBECONFIG = 256 * 1024
"""Most characters of a kubeconfig."""
MAX_CERTIFICATE = 64 * 1024
_FIELD = "cluster_config"
_CLUSTER_TEXTS = ("tls-server-name", "proxy-url", "certificate-authority", "certificate-authority-data")
_USER_TEXTS = ("token", TOKEN_FILE, "username", "password", *USER_FILES, *(f"{name}-data" for name in USER_FILES))
_PROGRAMS = ("exec", "auth-provider")
_DATA = tuple(f"{name}-data" for name in (*CLUSTER_FILES, *USER_FILES))


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig cut down to its current context. ``document`` holds secrets; the rest may be shown."""

    document: dict[str, Any] = field(repr=False)
    server: str
    context: str
    authentication: str
    missing: tuple[str, ...] = ()
    """Names of the files it refers to, whose contents must be uploaded."""


def parse_kubeconfig(text: str, programs: bool = False) -> Kubeconfig:
    """The kubeconfig in the text. ``programs``: whether it may name some to run. Raises BadRequest with every fault."""
    if len(text) > MAX_KUBECONFIG:
        raise _refused([Fault(_FIELD, f"is longer than {MAX_KUBECONFIG} characters")])
    try:
        document = read_yaml(text)
    except ValueError as error:
        raise _refused([Fault(_FIELD, str(error))]) from None
    if not isinstance(document, Mapping) or not isinstance(document.get("clusters"), list):
        raise _refused([Fault(_FIELD, "is not a kubeconfig: it has no list of clusters")])
    name, context = _chosen(document)
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context["user"]) if context.get("user") else {}
    faults = [*_cluster_faults(cluster), *_user_faults(user, programs)]
    if faults:
        raise _refused(faults)
    kept_user = {key: user[key] for key in (*_USER_TEXTS, *_PROGRAMS) if user.get(key)}
    # As kubectl: what is inline counts more than what is in a file.
    for reference in USER_FILES:
        if f"{reference}-data" in kept_user:
            kept_user.pop(reference, None)
    if "token" in kept_user:
        kept_user.pop(TOKEN_FILE, None)
    kept_cluster = {
        key: cluster[key] for key in ("server", *_CLUSTER_TEXTS, "insecure-skip-tls-verify") if cluster.get(key)
    }
    if "certificate-authority-data" in kept_cluster:
        kept_cluster.pop("certificate-authority", None)
    kept = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": kept_cluster}],
        "users": [{"name": "it", "user": kept_user}],
    }
    return Kubeconfig(kept, str(cluster["server"]), name, _authentication(kept_user), tuple(missing(kept)))


def certificate_faults(name: str, content: str) -> list[Fault]:
    """What is wrong with an uploaded file."""
    faults = []
    if not CLUSTER_NAME.fullmatch(name):
        faults.append(Fault("certificate_name", NAME_PROBLEM))
    if not content.strip():
        faults.append(Fault("certificate_content", "must not be empty"))
    elif len(content) > MAX_CERTIFICATE:
        faults.append(Fault("certificate_content", f"is longer than {MAX_CERTIFICATE} characters"))
    elif not content.isascii():
        faults.append(Fault("certificate_content", "must be PEM or a token: ASCII only"))
    return faults


NAME_PROBLEM = "use 1 to 63 letters, digits, dashes, underscores and single dots, starting with a letter or digit"


def _refused(faults: list[Fault]) -> BadRequest:
    told = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
    return BadRequest(f"invalid kubeconfig: {told}", faults)


def _chosen(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The name of the current context, and what it is."""
    contexts = [entry for entry in _entries(document, "contexts") if isinstance(entry.get("context"), Mapping)]
    wanted = document.get("current-context")
    if wanted in (None, ""):
        if len(contexts) != 1:
            raise _refused([Fault(f"{_FIELD}.current-context", f"is required: there are {len(contexts)} contexts")])
        found = contexts
    else:
        found = [entry for entry in contexts if entry.get("name") == wanted]
    if len(found) != 1:
        problem = f"must name one of the contexts; it names {len(found)}"
        raise _refused([Fault(f"{_FIELD}.current-context", problem)])
    name = found[0].get("name")
    return (name if isinstance(name, str) else "")[:200], found[0]["context"]


def _named(document: Mapping[str, Any], kind: str, entry: str, name: object) -> Mapping[str, Any]:
    found = [
        holder[entry]
        for holder in _entries(document, kind)
        if holder.get("name") == name and isinstance(holder.get(entry), Mapping)
    ]
    if len(found) != 1 or not isinstance(name, str):
        raise _refused([Fault(f"{_FIELD}.{kind}", f"must hold what the current context names; it has {len(found)}")])
    return found[0]  # type: ignore[no-any-return]


def _entries(document: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    listed = document.get(kind)
    if isinstance(listed, list):
        yield from (entry for entry in listed if isinstance(entry, Mapping))


def _cluster_faults(cluster: Mapping[str, Any]) -> Iterator[Fault]:
    place = f"{_FIELD}.cluster"
    yield from _text_faults(place, cluster, _CLUSTER_TEXTS)
    server = cluster.get("server")
    if not isinstance(server, str) or not _is_address(server):
        yield Fault(f"{place}.server", "must be an http:// or https:// address without credentials")
    proxy = cluster.get("proxy-url")
    if isinstance(proxy, str) and proxy and not _is_address(proxy):
        yield Fault(f"{place}.proxy-url", "must be an http:// or https:// address without credentials")
    if not isinstance(cluster.get("insecure-skip-tls-verify", False), bool):
        yield Fault(f"{place}.insecure-skip-tls-verify", "must be true or false")


def _user_faults(user: Mapping[str, Any], programs: bool) -> Iterator[Fault]:
    place = f"{_FIELD}.user"
    yield from _text_faults(place, user, _USER_TEXTS)
    token = user.get("token")
    if isinstance(token, str) and not all("!" <= char <= "~" for char in token):
        yield Fault(f"{place}.token", "must be printable ASCII without spaces")
    for name in _PROGRAMS:
        if user.get(name) and not programs:
            problem = "would run a program on the manager: the operator has not allowed that"
            yield Fault(f"{place}.{name}", f"{problem} (ASPERATHOS_KUBECONFIG_PROGRAMS)")
        elif user.get(name) and not isinstance(user[name], Mapping):
            yield Fault(f"{place}.{name}", "must be an object")


def _text_faults(place: str, holder: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[Fault]:
    for name in names:
        value = holder.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            yield Fault(f"{place}.{name}", "must be text")
        elif "\0" in value:
            yield Fault(f"{place}.{name}", "must not hold NUL")
        elif name in _DATA and value and not _is_base64(value):
            yield Fault(f"{place}.{name}", "must be base64")
        elif (
            name in (*CLUSTER_FILES, *USER_FILES, TOKEN_FILE) and value and not CLUSTER_NAME.fullmatch(file_name(value))
        ):
            yield Fault(f"{place}.{name}", "must end in the name of a file to be uploaded as a certificate")


def _is_address(url: str) -> bool:
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url) or len(url) > 2000:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = not parts.query and not parts.fragment and parts.username is None and parts.password is None
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain and port != 0


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _authentication(user: Mapping[str, Any]) -> str:
    """How it logs in, to be shown."""
    if any(name in user for name in _PROGRAMS):
        return "program"
    if any(name in user for name in ("token", TOKEN_FILE)):
        return "token"
    if any(name in user for name in ("client-certificate", "client-certificate-data")):
        return "certificate"
    return "password" if "username" in user else "none"
