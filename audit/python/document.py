"""What all documents share: `{data, hash, meta}`, the hashes that name them, times, and the faults found in them.

A leaf that passes `read_leaf` is one canonical document of a known kind (A-ENCODING); whether its hash is
right and its fields are true is asked later, so that findings come in the order of the table.
"""

import hashlib
import re
from dataclasses import dataclass

import json_profile
from json_profile import ProfileError

LEAF_BYTES_MAX = 61_440
KINDS = frozenset(['genesis', 'record', 'block', 'stack', 'keys'])
STEPS = 'stringify:data'
DAY_MS = 86_400_000

_HASH = re.compile('[0-9a-f]{64}')
_NUMBER = re.compile('0|[1-9][0-9]{0,19}')
_TIME = re.compile(r'(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z', re.ASCII)

HASHES = {
    'sha3-256': lambda raw: hashlib.sha3_256(raw).digest(),
    'sha256': lambda raw: hashlib.sha256(raw).digest(),
    'sha256:sha256': lambda raw: hashlib.sha256(hashlib.sha256(raw).digest()).digest(),
}


@dataclass(frozen=True)
class Fault:
    """One broken rule inside a leaf or a file: its code, where, and what was there instead of what."""
    code: str
    field: str = None
    expected: str = None
    actual: str = None


class Unreadable(Exception):
    """A shape no document may have; `fault` is the A-ENCODING to report."""

    def __init__(self, field, expected, actual=None):
        super().__init__(expected)
        self.fault = Fault('A-ENCODING', field, expected, None if actual is None else str(actual)[:200])


def read_leaf(raw):
    """The document of a leaf, or Unreadable."""
    if len(raw) > LEAF_BYTES_MAX:
        raise Unreadable(None, f'at most {LEAF_BYTES_MAX} bytes', len(raw))
    try:
        document = json_profile.parse_canonical(raw)
    except ProfileError as error:
        raise Unreadable(None, 'canonical JSON of the profile', error) from None
    members(document, '', ['data', 'hash', 'meta'])
    data, meta = document['data'], document['meta']
    if not isinstance(data, dict) or not isinstance(meta, dict):
        raise Unreadable('data', 'objects data and meta')
    texts(document['hash'], 'hash', ['steps', 'types', 'value'])
    if not is_hash(document['hash']['value']):
        raise Unreadable('hash.value', '64 lower-case hex digits', document['hash']['value'])
    if not isinstance(data.get('kind'), str) or data['kind'] not in KINDS:
        raise Unreadable('data.kind', 'a known kind', data.get('kind'))
    return document


def members(value, field, required, optional=()):
    """Refuses what is no object, lacks a required key or has one of neither list."""
    if not isinstance(value, dict):
        raise Unreadable(field, 'an object', type(value).__name__)
    for key in required:
        if key not in value:
            raise Unreadable(_join(field, key), 'this key')
    for key in value:
        if key not in required and key not in optional:
            raise Unreadable(_join(field, key), 'no such key')


def texts(value, field, required, optional=()):
    """As `members`, and every value is a string."""
    members(value, field, required, optional)
    for key, text in value.items():
        if not isinstance(text, str):
            raise Unreadable(_join(field, key), 'a string', type(text).__name__)


def _join(field, key):
    return f'{field}.{key}' if field else key


def is_hash(text):
    return isinstance(text, str) and _HASH.fullmatch(text) is not None


def number(text):
    """The whole number of at most 64 bits that a decimal string without leading zero stands for, or None."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        return None
    value = int(text)
    return value if value < 1 << 64 else None


def hash_faults(document, field, allowed):
    """A-HASH if `types` or `steps` are not allowed, or `value` is not the hash of `data`."""
    stated = document['hash']
    if stated['types'] not in allowed or stated['steps'] != STEPS:
        part = 'types' if stated['types'] not in allowed else 'steps'
        return [Fault('A-HASH', f'{field}hash.{part}', '|'.join(allowed) if part == 'types' else STEPS, stated[part])]
    value = HASHES[stated['types']](json_profile.canonical(document['data'])).hex()
    return [] if value == stated['value'] else [Fault('A-HASH', f'{field}hash.value', value, stated['value'])]


def time_ms(text):
    """Milliseconds since 1970 of `YYYY-MM-DDTHH:MM:SS.sssZ`, or None. Year 0000 is a year here, unlike in datetime."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return None
    year, month, day, hour, minute, second, milli = map(int, found.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    if not (1 <= month <= 12 and 1 <= day <= lengths[month - 1] and hour < 24 and minute < 60 and second < 60):
        return None
    before = year - 1
    # Days since the first day of year 1; year 0 gives a negative number, as floor division wants it.
    days = before * 365 + before // 4 - before // 100 + before // 400 + sum(lengths[:month - 1]) + day - 1
    return (((days - 719_162) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milli
