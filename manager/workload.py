"""Workloads as streams of items: one pass, constant memory, every fault with the line it is on.

A text source has one item per line. ``\\n``, ``\\r\\n`` end a line, the last one needs no end; a byte order mark is
dropped; lines of white space only are skipped; gzip is recognised by its first bytes. JSON lines are items as they
stand. Reading again yields the same items in the same order as long as the source is the same, which lets a loader
that died go on where it was.
"""

from __future__ import annotations

import codecs
import glob
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPException
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit

import fsspec
import requests
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from common.domain.errors import WorkloadError
from common.domain.outbound import Outbound, without_credentials
from common.domain.submission import Workload
from common.outbound import AddressRefused, outbound_session
from common.plugins import SOURCES, load_plugins

_CHUNK = 64 * 1024
_MOST_REDIRECTS = 5
_SLACK = len(codecs.BOM_UTF8) + len(b"\r")
"""Bytes of a line that may turn out not to be the item's."""
_GZIP = b"\x1f\x8b"
_SYSTEM = ("/proc", "/sys", "/dev", "/run")
"""What tells secrets of the manager itself."""
_WINDOW = 31
"""zlib's window size for gzip with header."""

Source = Callable[[Mapping[str, Any]], Iterable[str]]
"""A workload source plugin: options in, items out."""


class WorkloadSettings(Protocol):
    """What the operator allows. Times in seconds, sizes in bytes."""

    @property
    def allow_local_files(self) -> bool: ...

    @property
    def local_directories(self) -> Sequence[str]: ...

    @property
    def workload_schemes(self) -> Sequence[str]: ...

    @property
    def outbound(self) -> Outbound: ...

    @property
    def max_workload(self) -> int: ...

    @property
    def max_item(self) -> int: ...

    @property
    def workload_connect_timeout(self) -> float: ...

    @property
    def workload_read_timeout(self) -> float: ...

    @property
    def workload_proxy(self) -> str: ...

    @property
    def workload_ca(self) -> str: ...


Sources = Callable[[], Mapping[str, Source]]
"""The usable source plugins by name; asked only when a workload names one."""


def installed_sources() -> Mapping[str, Source]:
    """The source plugins installed here."""
    return load_plugins(SOURCES, _as_source).found


def open_items(
    workload: Workload | None, settings: WorkloadSettings, sources: Sources = installed_sources
) -> Iterator[str]:
    """The items of a workload, one by one; none for None. Raises WorkloadError, also in the middle."""
    if workload is None:
        return iter(())
    if workload.items is not None:
        return _checked(workload.items, settings.max_item)
    if workload.source is not None:
        return _from_plugin(workload.source, workload.options, settings, sources)
    if workload.glob is not None:
        return _from_glob(workload.glob, settings)
    return _from_url(workload.url or "", settings)


def check_workload(workload: Workload | None, settings: WorkloadSettings, sources: Sources = installed_sources) -> None:
    """Raises WorkloadError when it is plain already that the items cannot be had: one short request at most."""
    if workload is None:
        return
    if workload.items is not None:
        for _ in _checked(workload.items, settings.max_item):
            pass
    elif workload.source is not None:
        _plugin(workload.source, sources)
    elif workload.glob is not None:
        _allowed_scheme(workload.glob, settings, "glob")
    else:
        with _open_url(workload.url or "", settings):
            pass


def lines(chunks: Iterable[bytes], limit: int, most: int | None = None) -> Iterator[str]:
    """The items in a stream of bytes. Raises WorkloadError naming the line that is too long or not UTF-8, and when
    they are more than ``most`` bytes, unpacked."""
    for number, raw in enumerate(_raw_lines(_bounded(_unzipped(chunks), most), limit + _SLACK), start=1):
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        line = line.removesuffix(b"\r")
        if len(line) > limit:
            raise _too_long(number, limit)
        if line.strip():
            yield _item(line, number)


def _bounded(chunks: Iterable[bytes], most: int | None) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if most is not None and size > most:
            raise WorkloadError(f"the workload is larger than {most} bytes")
        yield chunk


def _raw_lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    pending: list[bytes] = []
    held = 0
    number = 1
    for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if held + end - start > limit:
                raise _too_long(number, limit - _SLACK)
            yield b"".join((*pending, chunk[start:end]))
            pending, held = [], 0
            number += 1
            start = end + 1
        if start < len(chunk):
            pending.append(chunk[start:])
            held += len(chunk) - start
            if held > limit:
                raise _too_long(number, limit - _SLACK)
    if pending:
        yield b"".join(pending)


def _too_long(number: int, limit: int) -> WorkloadError:
    return WorkloadError(f"line {number} of the workload is longer than {limit} bytes")


def _item(line: bytes, number: int) -> str:
    if b"\0" in line:
        raise WorkloadError(f"line {number} of the workload holds a NUL byte")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WorkloadError(f"line {number} of the workload is not UTF-8 (byte {error.start + 1})") from error


def _unzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks, decompressed if they are gzip; a small file that unpacks to a huge one never sits in memory."""
    head = b""
    rest = iter(chunks)
    for chunk in rest:
        head += chunk
        if len(head) >= len(_GZIP):
            break
    if not head.startswith(_GZIP):
        yield head
        yield from rest
        return
    yield from _gunzip(chain((head,), rest))


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unzip = zlib.decompressobj(_WINDOW)
    for chunk in chunks:
        data = chunk
        while data:
            if unzip.eof:
                # A gzip file may be several in a row.
                unzip = zlib.decompressobj(_WINDOW)
            try:
                yield unzip.decompress(data, _CHUNK)
            except zlib.error as error:
                raise WorkloadError(f"the workload is not valid gzip: {error}") from error
            data = unzip.unused_data or unzip.unconsumed_tail
    yield unzip.flush()
    if not unzip.eof:
        raise WorkloadError("the workload is gzip cut short")


def _checked(items: Iterable[object], limit: int, whose: str = "item") -> Iterator[str]:
    for number, item in enumerate(items, start=1):
        if not isinstance(item, str):
            raise WorkloadError(f"{whose} {number} of the workload is a {type(item).__name__}, not text")
        try:
            size = len(item.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise WorkloadError(f"{whose} {number} of the workload is not Unicode text") from error
        if size > limit:
            raise WorkloadError(f"{whose} {number} of the workload is longer than {limit} bytes")
        if "\0" in item:
            raise WorkloadError(f"{whose} {number} of the workload holds a NUL byte")
        if item.strip():
            yield item


def _as_source(plugin: object) -> Source:
    if not callable(plugin):
        raise TypeError("a workload source is a function: options in, items out")
    return plugin


def _plugin(name: str, sources: Sources) -> Source:
    found = sources()
    if name not in found:
        installed = ", ".join(sorted(found)) or "none"
        raise WorkloadError(f"no workload source named {name[:80]!r} is installed (installed: {installed})")
    return found[name]


def _from_plugin(name: str, options: Mapping[str, Any], settings: WorkloadSettings, sources: Sources) -> Iterator[str]:
    try:
        yield from _checked(_plugin(name, sources)(options), settings.max_item)
    except WorkloadError:
        raise
    except Exception as error:
        raise WorkloadError(f"workload source {name} failed: {type(error).__name__}: {error}") from error


def _scheme(place: str) -> str:
    return place.split("://", 1)[0].lower() if "://" in place else "file"


def _allowed_scheme(place: str, settings: WorkloadSettings, what: str) -> str:
    """The place's scheme, when the operator allows it."""
    scheme = _scheme(place)
    if scheme in ("file", "local") and not settings.allow_local_files:
        raise WorkloadError(
            f"a {what} on the manager's own disk is not allowed here; "
            "its operator can allow it with ASPERATHOS_ALLOW_LOCAL_FILES=true"
        )
    # Chains (zip::file://...) would lead around what is said of their parts.
    is_chained = "::" in place and scheme not in ("http", "https")
    if scheme not in settings.workload_schemes or is_chained:
        raise WorkloadError(
            f"{scheme[:40]}: addresses are not allowed here (ASPERATHOS_WORKLOAD_SCHEMES); "
            f"allowed are {', '.join(settings.workload_schemes)}"
        )
    return scheme


def _check_place(path: Path, settings: WorkloadSettings) -> None:
    """Whether a file is where workloads may be, wherever links lead."""
    real = path.resolve()
    if settings.local_directories:
        is_allowed = any(real.is_relative_to(Path(place).resolve()) for place in settings.local_directories)
    else:
        is_allowed = not any(real.is_relative_to(place) for place in _SYSTEM)
    if not is_allowed:
        raise WorkloadError(f"{path} is not where workloads may be (ASPERATHOS_LOCAL_DIRECTORIES)")


def _from_glob(pattern: str, settings: WorkloadSettings) -> Iterator[str]:
    scheme = _allowed_scheme(pattern, settings, "glob")
    if scheme == "file":
        # Sorted, so that reading again gives the same order whatever the file system does.
        local = unquote(urlsplit(pattern).path) if "://" in pattern else pattern
        paths = glob.iglob(local, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
        found = sorted(path for path in paths if not Path(path).is_dir())
        for path in found:
            _check_place(Path(path), settings)
    else:
        with _remote_errors(pattern):
            system, path = fsspec.core.url_to_fs(pattern)
            found = [system.unstrip_protocol(name) for name in sorted(system.glob(path))]
    return _checked(found, settings.max_item, "path")


def _from_url(url: str, settings: WorkloadSettings) -> Iterator[str]:
    with _open_url(url, settings) as chunks:
        yield from lines(chunks, settings.max_item, settings.max_workload)


@contextmanager
def _open_url(url: str, settings: WorkloadSettings) -> Iterator[Iterable[bytes]]:
    scheme = _allowed_scheme(url, settings, "file")
    if scheme in ("http", "https"):
        with _http(url, settings) as chunks:
            yield chunks
    elif scheme in ("file", "local"):
        with _local_errors(url), _open_file(Path(unquote(urlsplit(url).path)), settings) as stream:
            yield _read(stream)
    else:
        with _remote_errors(url), fsspec.open(url, "rb").open() as stream:
            yield _read(stream)


def _open_file(path: Path, settings: WorkloadSettings) -> IO[bytes]:
    _check_place(path, settings)
    # Opening a pipe would wait for its writer, for ever.
    if path.exists() and not path.is_file():
        raise WorkloadError(f"{path} is not a file")
    return path.open("rb")


def _read(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


@contextmanager
def _http(url: str, settings: WorkloadSettings) -> Iterator[Iterable[bytes]]:
    shown = without_credentials(url)
    session = outbound_session(settings.outbound)
    session.max_redirects = _MOST_REDIRECTS
    session.verify = settings.workload_ca or True
    if settings.workload_proxy:
        session.proxies = {"http": settings.workload_proxy, "https": settings.workload_proxy}
    timeouts = (settings.workload_connect_timeout, settings.workload_read_timeout)
    with session:
        try:
            response = session.get(url, stream=True, timeout=timeouts, headers={"Accept": "text/plain, */*;q=0.5"})
            with closing(response):
                _check_response(response, shown)
                yield _arriving(response)
        except (RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            raise WorkloadError(f"{shown} cannot be read: {_why(error)}") from error


def _arriving(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes: a slow server's lines are had when they are there, not when a whole chunk is."""
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        yield chunk


def _check_response(response: requests.Response, shown: str) -> None:
    if response.status_code != requests.codes.ok:
        raise WorkloadError(f"{shown} answered {response.status_code} {response.reason or ''}".rstrip())
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise WorkloadError(f"{shown} answered a web page ({kind}) instead of lines of text")


def _why(error: Exception) -> str:
    """What went wrong, without the URL's credentials that the client's own words may repeat."""
    if isinstance(error, AddressRefused):
        return str(error)
    names = {
        "ConnectTimeout": "it does not answer in time",
        "ReadTimeout": "it stopped sending",
        "ReadTimeoutError": "it stopped sending",
        "ConnectionError": "no connection can be made, or it broke",
        "ProtocolError": "the answer broke off",
        "IncompleteRead": "the answer broke off",
        "DecodeError": "its compression is broken",
        "TooManyRedirects": f"more than {_MOST_REDIRECTS} redirects",
        "SSLError": "its certificate is not trusted",
    }
    return names.get(type(error).__name__, type(error).__name__)


@contextmanager
def _local_errors(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkloadError(f"{without_credentials(url)} cannot be read: {error.strerror or error}") from error


@contextmanager
def _remote_errors(url: str) -> Iterator[None]:
    """fsspec's backends raise what their libraries raise: anything."""
    shown = without_credentials(url)
    try:
        yield
    except WorkloadError:
        raise
    except ImportError as error:
        raise WorkloadError(f"{_scheme(url)} addresses need an extra package on the manager: {error}") from error
    except Exception as error:
        raise WorkloadError(f"{shown} cannot be read: {type(error).__name__}: {error}") from error
