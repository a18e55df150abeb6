"""The audit: every leaf of a log in order, against blocks.md, and all findings in the order two verifiers share.

One pass. Files come first in the findings, so the leaves' findings wait until all files have been read.
"""

from array import array

import json_profile
from clearing import Record, State, outline
from document import (DAY_MS, KINDS, Fault, Unreadable, hash_faults, is_hash, members, number, read_leaf, texts, time_ms)
from log import FAULTS_MAX, SourceError, Tiles
from note import Checkpoint, NoteError, VerifierKey, checkpoint_text
from tree import Range, leaf_hash, root, sha3, sha256

RULES = '1'
AHEAD_MAX_MS = 5 * 60_000
TABLE = ['A-NOTE', 'A-REWRITE', 'A-TILE', 'A-ENCODING', 'A-HASH', 'A-HEADER', 'A-GAP', 'A-KEYS', 'A-TIME', 'A-DOMAIN',
         'A-SIG', 'A-DOUBLE', 'A-EXPIRY', 'A-GRANT', 'A-LOCK', 'A-LIMIT', 'A-OUTPUT', 'A-STATE', 'A-SUM', 'A-STALE']
_OWN_HASHES = ['sha3-256']
_GENESIS_FIELDS = ['domain', 'key', 'kind', 'rules', 'time']
_BLOCK_FIELDS = ['cleared', 'domain', 'first', 'height', 'kind', 'leaves', 'log', 'previous', 'records', 'root', 'rules',
                 'signature', 'state', 'time', 'units']
_STACK_FIELDS = ['blocks', 'domain', 'first', 'height', 'kind', 'previous', 'root', 'time']
_KEYS_FIELDS = ['domain', 'kind', 'new', 'old', 'time']


# Of a text in a finding: a leaf can write sixty thousand into one.
_TEXT_MAX = 1_000


def _short(text):
    return text if not isinstance(text, str) or len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + '…'


def finding(fault, block=None, number_=None, leaf=None):
    """A finding as it is printed; numbers are decimal strings, as everywhere."""
    block, number_, leaf = (None if n is None else str(n) for n in (block, number_, leaf))
    return {'code': fault.code, 'block': block, 'number': number_, 'leaf': leaf,
            'field': _short(fault.field), 'expected': _short(fault.expected), 'actual': _short(fault.actual)}


class _OpenBlock:
    """What has come in since the last block document."""

    def __init__(self, first, log_root, key):
        self.first, self.log_root, self.key = first, log_root, key
        self.hashes, self.records, self.time = [], 0, None
        self.stack, self.keys, self.keys_time = False, False, None


class Audit:
    """`key` and `domain` are the caller's; `now` in milliseconds decides what lies in the future."""

    def __init__(self, key, domain, now, structure=False, max_age_ms=None, before=0):
        self._key, self._domain, self._now = key, domain, now
        self._structure, self._max_age_ms, self._before = structure, max_age_ms, before
        self._log, self._state = Range(sha256), State()
        self._chain, self._first_key, self._key_now, self._genesis_time = [], key, key, None
        self.blocks, self.records, self.head = 0, 0, ''
        self._number, self._record_time = 0, None
        self._block_time, self._stacks, self._stack_previous = None, 0, ''
        self._stack_first, self._stack_hashes = 0, []
        self._open = _OpenBlock(0, self._log.root(), key)
        self._last_kind, self._last_block = None, None
        self._at_blocks, self._at_numbers = array('Q'), array('Q')
        self._findings, self._unlisted, self._bad = [], 0, 0
        # Why the rest could not be read, of a log in which something was found before.
        self.failure = None

    def run(self, place, raw_checkpoint, raw_from=None):
        """(findings, size) of a whole log."""
        checkpoint, note_faults = _note(raw_checkpoint, 'checkpoint')
        known, from_faults = (None, []) if raw_from is None else _note(raw_from, 'from')
        self._before = known.size if known else 0
        self._size = checkpoint.size if checkpoint else 0
        self._from_root = self._log.root() if self._before == 0 else None
        self._from_key = None
        self._tiles = tiles = Tiles(place, self._size, self._take, lambda: self._bad >= FAULTS_MAX)
        try:
            tiles.read(checkpoint.root if checkpoint else self._log.root(), self._log.root)
        except SourceError as error:
            # A host that is found out must not get out of it by answering no more.
            self.failure, tiles.unread = error, self._size - self._log.size
        if checkpoint:
            note_faults += self._note_faults(checkpoint, self._key_now, 'checkpoint')
        if known:
            from_faults += self._note_faults(known, self._key_at(known.size), 'from')
            damaged = not tiles.proven and any(fault.leaf < known.size for fault in tiles.faults)
            reached = self._from_root is not None
            other = reached and self._from_root != known.root and not damaged
            if checkpoint and known.size == self._size:
                other = checkpoint.root != known.root
            if checkpoint and (known.size > self._size or other):
                from_faults.append(Fault('A-REWRITE', 'from', f'{known.size} {known.root.hex()}',
                                         f'{self._size} {self._from_root.hex() if reached else None}'))
        whole = note_faults + from_faults
        if self._max_age_ms is not None and checkpoint and checkpoint.size == 0 and checkpoint.root == self._log.root():
            # Every log was empty once, and has signed that it was.
            whole.append(Fault('A-STALE', 'size', 'a block', 'none'))
        first = sorted((finding(fault) for fault in whole), key=lambda f: TABLE.index(f['code']))
        faults = sorted(tiles.faults, key=lambda fault: (fault.leaf, fault.level))
        first += [self._tile_finding(fault) for fault in faults]
        if self._log.size and self._last_kind != 'block' and self._log.size == self._size:
            self._leaf_findings(self._size - 1, [Fault('A-HEADER', 'data.kind', 'block', self._last_kind)])
        if (self._max_age_ms is not None and self._block_time and not tiles.unread
                and self._now - self._block_time[1] > self._max_age_ms):
            self._leaf_findings(self._last_block, [Fault('A-STALE', 'data.time', f'at most {self._max_age_ms // 1000} seconds old',
                                                         self._block_time[0])])
        # What is known only after all leaves stands where its leaf does, after earlier codes there.
        self._findings.sort(key=lambda f: (int(f['leaf']), TABLE.index(f['code'])))
        findings = first + self._findings
        if self.failure and not findings:
            raise self.failure
        return findings, self._size

    def _key_at(self, size):
        # Before there is a genesis, its key signs that the log is empty.
        return self._first_key if size == 0 else self._from_key or self._key_now

    def unread(self):
        """How many leaves were not read, as so much was missing or wrong before them."""
        return self._tiles.unread

    def unlisted(self):
        """How many findings were left out of the list."""
        return self._unlisted

    def _note_faults(self, checkpoint, key, field):
        faults = []
        # What was altered or not read may hide who signs; then a key that the log does not name proves nothing.
        hidden = not self._tiles.whole
        if self._key.name != self._domain:
            faults.append(Fault('A-NOTE', 'key', self._domain, self._key.name))
        elif self._chain and self._key not in self._chain and not hidden:
            faults.append(Fault('A-NOTE', 'key', ' '.join(map(str, self._chain))[:300], str(self._key)))
        try:
            checkpoint.check(self._domain, key)
        except NoteError as error:
            # Which key was in force at an older size may be hidden as well: of that checkpoint no line proves anything then.
            if error.field != 'signature' or not hidden or field == 'checkpoint' and checkpoint.names(key):
                faults.append(Fault('A-NOTE', f'{field}.{error.field}', error.expected, error.actual))
        return faults

    def _tile_finding(self, tile_fault):
        leaf = tile_fault.leaf
        if leaf < len(self._at_blocks):
            return finding(tile_fault.fault, self._at_blocks[leaf], self._at_numbers[leaf], leaf)
        return finding(tile_fault.fault, self.blocks, self.records + 1, leaf)

    def _leaf_findings(self, leaf, faults):
        # How much is found in a leaf is for each auditor to say; how many are bad, they agree on.
        self._bad += bool(faults)
        for fault in sorted(faults, key=lambda fault: TABLE.index(fault.code)):
            if len(self._findings) < FAULTS_MAX:
                self._findings.append(finding(fault, self._at_blocks[leaf], self._at_numbers[leaf], leaf))
            else:
                self._unlisted += 1

    def _take(self, leaf, raw, log_hash):
        """One leaf: None if its bundle is missing, which has been said already."""
        faults, document, kind = [], None, None
        if raw is not None:
            try:
                document = read_leaf(raw)
                kind = document['data']['kind']
            except Unreadable as error:
                faults, kind = [error.fault], _kind(raw)
        counts = kind in ('record', None)
        self._at_blocks.append(self.blocks)
        self._at_numbers.append(self.records + counts)
        self.records += counts
        inner_hash = leaf_hash(sha3, raw) if raw is not None else bytes(32)
        if document is not None:
            faults += hash_faults(document, '', _OWN_HASHES)
        named = not faults
        if kind is not None:
            faults += self._order_faults(leaf, kind)
        if document is not None:
            faults += getattr(self, '_' + kind)(leaf, document, named)
        elif kind == 'record':
            self._open.records += 1
        self._log.push(log_hash)
        if kind == 'block':
            self._close(leaf, document)
        else:
            self._open.hashes.append(inner_hash)
        if self._log.size == self._before:
            self._from_root, self._from_key = self._log.root(), self._key_now
        self._last_kind = kind
        self._leaf_findings(leaf, faults)

    def _order_faults(self, leaf, kind):
        """Block 0 is genesis and block document; every other: stack, keys, records, block document."""
        opened = self._open
        if leaf == 0:
            wanted = ['genesis']
        elif self.blocks == 0:
            wanted = ['block']
        else:
            wanted = ['record', 'block']
            if opened.records == 0:
                wanted += ([] if opened.keys else ['keys']) + ([] if opened.stack or opened.keys else ['stack'])
        opened.stack, opened.keys = opened.stack or kind == 'stack', opened.keys or kind == 'keys'
        return [] if kind in wanted else [Fault('A-HEADER', 'data.kind', '|'.join(wanted), kind)]

    def _header_faults(self, document, fields, expected, meta=()):
        """A-HEADER: unknown or missing fields, and those that differ from what they must be."""
        try:
            texts(document['data'], 'data', fields)
            members(document['meta'], 'meta', meta)
        except Unreadable as error:
            return [Fault('A-HEADER', error.fault.field, error.fault.expected, error.fault.actual)]
        data = document['data']
        faults = [Fault('A-HEADER', f'data.{field}', value, data[field]) for field, value in expected.items()
                  if data[field] != value]
        if time_ms(data['time']) is None:
            faults.append(Fault('A-HEADER', 'data.time', 'YYYY-MM-DDTHH:MM:SS.sssZ', data['time']))
        return faults

    def _genesis(self, leaf, document, named):
        """`named`: its hash is right. Anywhere but as leaf 0 it begins nothing, whatever stands in its place."""
        data = document['data']
        faults = self._header_faults(document, _GENESIS_FIELDS, {'domain': self._domain, 'rules': RULES})
        key = VerifierKey.parse(data.get('key'))
        if key is None or key.name != self._domain:
            faults.append(Fault('A-HEADER', 'data.key', f'a verifier key of {self._domain}', str(data.get('key'))))
        if leaf == 0:
            self._genesis_time = data.get('time')
            self.head = self._stack_previous = document['hash']['value']
            if named and not faults:
                self._chain, self._first_key, self._key_now = [key], key, key
                self._open.key = key
        return faults

    def _keys(self, _leaf, document, named):
        data, meta, opened = document['data'], document['meta'], self._open
        faults = self._header_faults(document, _KEYS_FIELDS, {'domain': self._domain}, ['signatures'])
        old, new, lines = VerifierKey.parse(data.get('old')), VerifierKey.parse(data.get('new')), meta.get('signatures')
        for name, key in (('old', old), ('new', new)):
            if key is None:
                faults.append(Fault('A-HEADER', f'data.{name}', 'a verifier key', str(data.get(name))))
        if not (isinstance(lines, list) and len(lines) == 2 and all(isinstance(line, str) for line in lines)):
            faults.append(Fault('A-HEADER', 'meta.signatures', 'two texts'))
        # A document of another form or name changes no key; one that only lies does, so that the lie is found here.
        if faults or not named:
            return faults
        if old != self._key_now:
            faults.append(Fault('A-KEYS', 'data.old', str(self._key_now), str(old)))
        if new == old or new.name != self._domain:
            faults.append(Fault('A-KEYS', 'data.new', f'another key of {self._domain}', str(new)))
        text = f'{self._domain}\nkeys\n{document["hash"]["value"]}\n'
        faults += [Fault('A-KEYS', f'meta.signatures.{index}', f'a signature of {key}', line)
                   for index, (key, line) in enumerate(zip((old, new), lines)) if not key.signed(text, line)]
        # One that is dated before a theft would excuse what the thief signed.
        opened.keys_time = data['time'], time_ms(data['time'])
        if not self._structure and self._block_time and opened.keys_time[1] < self._block_time[1]:
            faults.append(Fault('A-TIME', 'data.time', f'not before {self._block_time[0]}', data['time']))
        self._chain += [old, new]
        self._key_now = new
        return faults

    def _stack(self, _leaf, document, _named):
        previous = self._stack_previous
        faults = self._header_faults(document, _STACK_FIELDS, {
            'domain': self._domain, 'height': str(self._stacks), 'previous': previous,
            'first': str(self._stack_first), 'blocks': str(len(self._stack_hashes)),
            'root': root(sha3, [leaf_hash(sha3, name) for name in self._stack_hashes]).hex(),
            **({} if self._block_time is None else {'time': self._block_time[0]})})
        self._stacks, self._stack_previous = self._stacks + 1, document['hash']['value']
        self._stack_first, self._stack_hashes = self.blocks, []
        return faults

    def _record(self, leaf, document, _named):
        self._open.records += 1
        record = None
        try:
            if self._structure:
                place, time = outline(document)
            else:
                record = Record(document)
                place, time = record.number, record.time
        except Unreadable as error:
            # Numbering and times go on from here as far as they can be read.
            place, time = number(document['data'].get('number')), time_ms(document['data'].get('time'))
            self._number = self._number + 1 if place is None else place
            self._open.time = None if time is None else document['data']['time']
            self._record_time = time if time is not None else self._record_time
            return [error.fault]
        faults = []
        if place != self._number + 1:
            faults.append(Fault('A-GAP', 'data.number', str(self._number + 1), str(place)))
        floors = [t for t in (self._record_time, self._block_time and self._block_time[1]) if t is not None]
        if not self._structure and floors and time < max(floors):
            faults.append(Fault('A-TIME', 'data.time', 'not before the record or block before', document['data']['time']))
        self._number, self._record_time, self._open.time = place, time, document['data']['time']
        return faults + (self._meaning_faults(leaf, record) if record else [])

    def _meaning_faults(self, leaf, record):
        faults = record.hash_faults()
        if record.domain != self._domain:
            faults.append(Fault('A-DOMAIN', 'data.domain', self._domain, record.domain))
        for iou in record.ious:
            faults += iou.domain_faults(self._domain)
            faults += iou.signature_faults(known=leaf < self._before)
        return faults + self._state.clear(record)

    def _block(self, _leaf, document, _named):
        data, opened = document['data'], self._open
        expected = {'domain': self._domain, 'rules': RULES, 'height': str(self.blocks), 'previous': self.head,
                    'first': str(opened.first), 'leaves': str(len(opened.hashes)), 'records': str(opened.records),
                    'cleared': str(self._number), 'root': root(sha3, opened.hashes).hex()}
        # Once a file is known to be altered, no root over the files before says anything about this block.
        intact = not self._tiles.faults
        if intact:
            expected['log'] = opened.log_root.hex()
        time_of_last = opened.time if opened.records else self._genesis_time if self.blocks == 0 else None
        if time_of_last:
            expected['time'] = time_of_last
        faults = self._header_faults(document, _BLOCK_FIELDS, expected)
        faults += [Fault('A-HEADER', f'data.{field}', '64 lower-case hex digits', str(data.get(field)))
                   for field in ('state', 'units') if not is_hash(data.get(field))]
        text = checkpoint_text(self._domain, opened.first, opened.log_root)
        if intact and isinstance(data.get('signature'), str) and not opened.key.signed(text, data['signature']):
            faults.append(Fault('A-HEADER', 'data.signature', f'a signature of {opened.key}', data['signature']))
        time = time_ms(data.get('time'))
        if time is not None:
            if self._block_time and time // DAY_MS > self._block_time[1] // DAY_MS and not opened.stack:
                faults.append(Fault('A-HEADER', 'data.kind', 'a stack as first leaf of a new day', 'none'))
            if not self._structure:
                faults += self._block_time_faults(time, data['time'])
        if not self._structure:
            state, units, sums = self._state.roots()
            faults += [Fault('A-STATE', f'data.{field}', value.hex(), str(data.get(field)))
                       for field, value in (('state', state), ('units', units)) if is_hash(data.get(field)) and data[field] != value.hex()]
            faults += sums
        return faults

    def _block_time_faults(self, time, text):
        if self._block_time and time < self._block_time[1]:
            return [Fault('A-TIME', 'data.time', f'not before {self._block_time[0]}', text)]
        if self._open.keys_time and time < self._open.keys_time[1]:
            return [Fault('A-TIME', 'data.time', f'not before {self._open.keys_time[0]}, when its keys changed', text)]
        if time > self._now + AHEAD_MAX_MS:
            return [Fault('A-TIME', 'data.time', 'at most 5 minutes ahead of now', text)]
        return []

    def _close(self, leaf, document):
        """Ends the block at its document, even one with wrong or unreadable fields."""
        if document is not None:
            self.head = document['hash']['value']
            time = time_ms(document['data'].get('time'))
            if time is not None:
                self._block_time = document['data']['time'], time
        else:
            self._block_time = None
        self._stack_hashes.append(bytes.fromhex(self.head) if self.head else b'')
        self.blocks, self._last_block = self.blocks + 1, leaf
        self._open = _OpenBlock(leaf + 1, self._log.root(), self._key_now)


def _kind(raw):
    """The kind of a leaf that is no document of its kind, if that much can be read."""
    try:
        kind = json_profile.parse(raw)['data']['kind']
        return kind if isinstance(kind, str) and kind in KINDS else None
    except (json_profile.ProfileError, KeyError, TypeError):
        return None


def _note(raw, field):
    """(checkpoint or None, A-NOTE faults of its form)."""
    try:
        return Checkpoint(raw), []
    except NoteError as error:
        return None, [Fault('A-NOTE', f'{field}.{error.field}', error.expected, error.actual)]
