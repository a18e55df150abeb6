"""The files of a log: where they are read from, and whether tiles and bundles give the tree they should.

Computed upwards from the entries: an entry against its hash, a full subtree's root against the hash in the
tile above, at last the root against the checkpoint. A hash is a finding only where nothing beneath it was one.
"""

import base64
import ipaddress
import os
import queue
import re
import stat
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import namedtuple

from document import Fault
from note import NOTE_BYTES_MAX
from tree import leaf_hash, root, sha256

WIDTH = 256
FAULTS_MAX = 10_000
_MISSING_IN_A_ROW_MAX = 1_000
_BUNDLE_BYTES_MAX = WIDTH * (2 + 65_535)
# For one answer, from the first byte of the request to the last of the body, and for each byte of it.
_ANSWER_S, _BYTE_S = 60, 30
# How often a server is asked for one file before the audit gives up, and the wait between.
_TRIES, _PAUSE_S = 3, 0.5
_PARTIAL = re.compile('[1-9][0-9]{0,2}')

TileFault = namedtuple('TileFault', 'leaf level fault')


class SourceError(Exception):
    """The log cannot be reached at all; nothing about its content."""


class Directory:
    """A log as files under one path."""

    def __init__(self, path):
        self._path = path
        if not os.path.isdir(path):
            raise SourceError(f'{path} is not a directory')

    def read(self, path, bytes_max):
        """The bytes of a file (one more than the maximum if it is longer), or None."""
        path = os.path.join(self._path, path)
        try:
            # A link that leads nowhere, or in a circle.
            if os.path.islink(path) and not os.path.exists(path):
                return None
            # Opening a pipe would wait for a writer, perhaps for ever: no part of a log is one.
            if not stat.S_ISREG(os.stat(path).st_mode):
                return None
            with open(path, 'rb') as file:
                return file.read(bytes_max + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SourceError(str(error)) from None

    def has(self, path):
        """True if something bears this name, be it a file or not."""
        return os.path.lexists(os.path.join(self._path, path))

    def spare_widths(self, path, width):
        """Widths of partial files of a tile that lie beside the one of `width`, and below it."""
        try:
            names = os.listdir(os.path.join(self._path, path + '.p'))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise SourceError(str(error)) from None
        return sorted(int(name) for name in names if _PARTIAL.fullmatch(name) and int(name) < width)


class Web:
    """A log behind a URL."""

    def __init__(self, url):
        self._url, self._login = _login(url.rstrip('/'))
        # The variables of a proxy mean servers elsewhere; it would ask its own machine.
        handlers = [urllib.request.ProxyHandler({})] if _is_here(url) else []
        self._opener = urllib.request.build_opener(*handlers)

    def read(self, path, bytes_max):
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_S)
            answer = self._ask(path, bytes_max)
            if not isinstance(answer, Exception):
                return answer
        raise SourceError(f'{path}: {str(answer) or type(answer).__name__}')

    def _ask(self, path, bytes_max):
        """The bytes of an answer, None if the server has no such file, or what went wrong."""
        # Sockets know only how long to wait for the next byte, and a server can send one now and then for ever.
        outcome = queue.SimpleQueue()
        request = urllib.request.Request(f'{self._url}/{path}')
        for header in self._login.items():
            # Of no other server's business: it may lead there.
            request.add_unredirected_header(*header)
        arguments = self._opener, request, bytes_max, outcome.put
        threading.Thread(target=_fetch, args=arguments, daemon=True).start()
        try:
            return outcome.get(timeout=_ANSWER_S)
        except queue.Empty:
            return TimeoutError(f'no whole answer within {_ANSWER_S} s')

    def spare_widths(self, _path, _width):
        return []


def _login(url):
    """A URL without the user and the password that it may hold, and the header that has them (RFC 7617)."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition('@')
    if not at:
        return url, {}
    user = urllib.parse.unquote_to_bytes(user if ':' in user else user + ':')
    login = base64.b64encode(user).decode()
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), {'Authorization': f'Basic {login}'}


def _is_here(url):
    """True if a URL leads to this machine."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ''
        if host == 'localhost':
            return True
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(ip, 'ipv4_mapped', None) or ip).is_loopback


def _fetch(opener, request, bytes_max, put):
    """Puts what came of one question."""
    try:
        with opener.open(request, timeout=_BYTE_S) as answer:
            raw = answer.read(bytes_max + 1)
            stated = answer.headers.get('Content-Length')
            # What is of another length than it says was cut on its way: that is no file of the log.
            if answer.status != 200:
                raise ValueError(f'the server answers with status {answer.status}')
            if not answer.chunked and stated is not None and len(raw) <= bytes_max and stated.strip() != str(len(raw)):
                raise ValueError(f'{len(raw)} bytes of {stated}')
        put(raw)
    except urllib.error.HTTPError as error:
        put(None if error.code in (404, 410) else error)
    # Whatever a server does to make a library fail, it has not answered.
    except Exception as error:
        put(error)


def source(place):
    return Web(place) if place.lower().startswith(('http://', 'https://')) else Directory(place)


def read_checkpoint(place):
    raw = place.read('checkpoint', NOTE_BYTES_MAX)
    if raw is None:
        raise SourceError('there is no checkpoint')
    return raw


def tile_path(level, index):
    """`tile/L/x001/067`; level 'entries' for bundles."""
    groups = [f'{index % 1000:03d}']
    while index := index // 1000:
        groups.insert(0, f'x{index % 1000:03d}')
    return f'tile/{level}/' + '/'.join(groups)


def _entries(raw, width):
    """The entries of a bundle, or None if they do not fill it exactly."""
    entries, at = [], 0
    while at + 2 <= len(raw) and len(entries) < width:
        end = at + 2 + int.from_bytes(raw[at:at + 2], 'big')
        entries.append(raw[at + 2:end])
        at = end
    return entries if at == len(raw) and len(entries) == width else None


def _hashes(raw, width):
    return [raw[at:at + 32] for at in range(0, len(raw), 32)] if len(raw) == 32 * width else None


class Tiles:
    """One pass over a log of a given size. `take(index, entry or None, hash)` gets every leaf in order, until
    `enough()` says that nobody needs more."""

    def __init__(self, place, size, take, enough):
        self._place, self._size, self._take, self._enough = place, size, take, enough
        self.faults, self.unread = [], size
        # Whether these are the leaves that were signed, whatever else is damaged; and whether all of them were read.
        self.proven, self.whole = False, False
        self._bad = set()

    def read(self, expected_root, computed_root):
        """Reads all; `computed_root()` is asked at the end. The faults are in `faults`."""
        levels, missing, hidden, index = [], 0, False, -1
        for index in range(-(-self._size // WIDTH)):
            hashes, found = self._bundle(index)
            if len(hashes) == WIDTH:
                self._lift(levels, 0, index, hashes)
            missing = 0 if found else missing + 1
            hidden = hidden or not found
            if missing >= _MISSING_IN_A_ROW_MAX or len(self.faults) >= FAULTS_MAX or self._enough():
                break
        self.unread = max(0, self._size - (index + 1) * WIDTH)
        self._compare_begun(levels, index + 1)
        self.proven = not self.unread and computed_root() == expected_root
        self.whole = self.proven and not hidden
        if not self.faults and not self.unread and not self.proven:
            self._report(0, 0, Fault('A-TILE', 'root', expected_root.hex(), computed_root().hex()))

    def _compare_begun(self, levels, bundles):
        """Compares the tiles that are not full after so many bundles, be it that the log ends there or the reading."""
        leaves = min(bundles * WIDTH, self._size)
        level, under = 1, WIDTH
        while under <= self._size:
            index = (bundles - 1) // under
            width, done = (min(WIDTH, whole // under - index * WIDTH) for whole in (self._size, leaves))
            # A full one was compared when it became full.
            if width > 0 and done < WIDTH:
                self._compare(level, index, levels[level - 1] if level <= len(levels) else [], width)
            level, under = level + 1, under * WIDTH

    def _lift(self, levels, level, index, hashes):
        """Hands the root of a full tile to the tile above, and compares that one once it is full."""
        if level == len(levels):
            levels.append([])
        pending = levels[level]
        pending.append(root(sha256, hashes))
        if len(pending) == WIDTH:
            levels[level] = []
            self._compare(level + 1, index // WIDTH, pending, WIDTH)
            self._lift(levels, level + 1, index // WIDTH, pending)

    def _bundle(self, index):
        """Checks a bundle and its level-0 tile: their hashes, and whether there is a bundle at all."""
        first = index * WIDTH
        width = min(WIDTH, self._size - first)
        entries = self._file('entries', index, width, _BUNDLE_BYTES_MAX, _entries)
        if entries is None:
            stored = self._file(0, index, width, 32 * WIDTH, _hashes)
            hashes = stored or [bytes(32)] * width
        else:
            hashes = [leaf_hash(sha256, entry) for entry in entries]
            for fewer, spare in self._spares('entries', index, width, _BUNDLE_BYTES_MAX, _entries):
                self._first_difference(-1, index, f'.p/{fewer}', entries[:fewer], spare)
            self._compare(0, index, hashes, width)
        for offset, entry_hash in enumerate(hashes):
            self._take(first + offset, entries[offset] if entries else None, entry_hash)
        return hashes, entries is not None

    def _compare(self, level, index, computed, width):
        """Compares a tile, and the partial ones left beside it, with the hashes computed from below so far."""
        stored = self._file(level, index, width, 32 * WIDTH, _hashes)
        if stored is not None:
            self._first_difference(level, index, '', computed, stored)
        for fewer, spare in self._spares(level, index, width, 32 * WIDTH, _hashes):
            self._first_difference(level, index, f'.p/{fewer}', computed[:fewer], spare)

    def _first_difference(self, level, index, suffix, computed, stored):
        """Reports the first difference that nothing beneath explains."""
        span = WIDTH ** max(level, 0)
        for offset, (expected, actual) in enumerate(zip(computed, stored)):
            if expected == actual:
                continue
            leaf = (index * WIDTH + offset) * span
            explained = any(leaf <= bad < leaf + span for bad in self._bad)
            if not (explained and (level > 0 or not suffix)):
                path = tile_path('entries' if level < 0 else level, index) + suffix
                shown = (None, None) if level < 0 else (expected.hex(), actual.hex())
                self._report(leaf, level, Fault('A-TILE', path, *shown))
                return

    def _file(self, level, index, width, bytes_max, parse):
        """The content of the tile of this width (or the first part of the full one), or None with a finding."""
        path = tile_path(level, index)
        partial = path + (f'.p/{width}' if width < WIDTH else '')
        span = WIDTH ** (1 + (0 if level == 'entries' else level))
        order = -1 if level == 'entries' else level
        raw, wide = self._place.read(partial, bytes_max), width
        if raw is None and width < WIDTH:
            raw, wide = self._place.read(path, bytes_max), WIDTH
        content = None if raw is None else parse(raw, wide)
        if content is None:
            expected = 'a file' if raw is None else f'{width} entries or hashes'
            self._report(index * span, order, Fault('A-TILE', partial, expected, None if raw is None else f'{len(raw)} bytes'))
            return None
        return content[:width]

    def _spares(self, level, index, width, bytes_max, parse):
        path = tile_path(level, index)
        span = WIDTH ** (1 + (0 if level == 'entries' else level))
        for fewer in self._place.spare_widths(path, width):
            raw = self._place.read(f'{path}.p/{fewer}', bytes_max)
            # It may have made way for a wider one since it was listed.
            if raw is None and not self._place.has(f'{path}.p/{fewer}'):
                continue
            content = parse(raw, fewer) if raw is not None else None
            if content is None:
                self._report(index * span, -1 if level == 'entries' else level,
                             Fault('A-TILE', f'{path}.p/{fewer}', f'{fewer} entries or hashes'))
            else:
                yield fewer, content

    def _report(self, leaf, level, fault):
        self._bad.add(leaf)
        self.faults.append(TileFault(leaf, level, fault))
