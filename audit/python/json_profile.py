"""JSON as the protocol allows it, and its canonical form (RFC 8785).

A parser of its own, because every common one keeps the last of two equal keys without a word, lets lone
surrogates pass, and reads numbers as floats. It knows objects, arrays, strings and the whole numbers of a
puzzle; all else is refused, so the canonical form of a float never has to be written.
"""

import re

DEPTH_MAX = 16
INTEGER_MAX = 2**31 - 1

_STRING = re.compile(r'"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"', re.DOTALL)
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(.))', re.DOTALL)
_INTEGER = re.compile(r'[1-9][0-9]{0,9}(?![0-9.eE])')
_SPACE = re.compile(r'[ \t\n\r]*')
_ESCAPED = {'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
_WRITTEN = {'"': '\\"', '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t'}
_MUST_ESCAPE = re.compile(r'["\\\x00-\x1f]')


class ProfileError(Exception):
    """The text is not JSON of the profile; the message says why."""


def parse(raw):
    """The value of UTF-8 bytes, or ProfileError. White space and order of keys are free here."""
    try:
        text = raw.decode('utf-8')
    except UnicodeDecodeError as error:
        raise ProfileError(f'not UTF-8 at byte {error.start}') from None
    value, at = _value(text, _skip(text, 0), 1)
    if _skip(text, at) != len(text):
        raise ProfileError(f'more text at {at}')
    return value


def canonical(value):
    """The canonical bytes of a value that `parse` gave, or that the caller built."""
    return ''.join(_write(value)).encode('utf-8')


def parse_canonical(raw):
    """As `parse`, but only bytes that are already canonical."""
    value = parse(raw)
    if canonical(value) != raw:
        raise ProfileError('not in canonical form')
    return value


def strings_only(value):
    """True if no number stands anywhere in the value."""
    if isinstance(value, dict):
        return all(map(strings_only, value.values()))
    if isinstance(value, list):
        return all(map(strings_only, value))
    return isinstance(value, str)


def _skip(text, at):
    return _SPACE.match(text, at).end()


def _value(text, at, depth):
    first = text[at:at + 1]
    if first == '"':
        return _string(text, at)
    if first in ('{', '['):
        if depth > DEPTH_MAX:
            raise ProfileError(f'deeper than {DEPTH_MAX} at {at}')
        return _object(text, at, depth) if first == '{' else _array(text, at, depth)
    number = _INTEGER.match(text, at)
    if not number or int(number.group()) > INTEGER_MAX:
        raise ProfileError(f'no object, array, string or whole number at {at}')
    return int(number.group()), number.end()


def _object(text, at, depth):
    members = {}
    at = _skip(text, at + 1)
    if text[at:at + 1] == '}':
        return members, at + 1
    while True:
        key, at = _string(text, at)
        if key in members:
            raise ProfileError(f'key {key!r} twice')
        at = _skip(text, at)
        if text[at:at + 1] != ':':
            raise ProfileError(f'no colon at {at}')
        members[key], at = _value(text, _skip(text, at + 1), depth + 1)
        at = _skip(text, at)
        mark = text[at:at + 1]
        if mark == '}':
            return members, at + 1
        if mark != ',':
            raise ProfileError(f'no comma at {at}')
        at = _skip(text, at + 1)


def _array(text, at, depth):
    items = []
    at = _skip(text, at + 1)
    if text[at:at + 1] == ']':
        return items, at + 1
    while True:
        item, at = _value(text, at, depth + 1)
        items.append(item)
        at = _skip(text, at)
        mark = text[at:at + 1]
        if mark == ']':
            return items, at + 1
        if mark != ',':
            raise ProfileError(f'no comma at {at}')
        at = _skip(text, at + 1)


def _string(text, at):
    found = _STRING.match(text, at)
    if not found:
        raise ProfileError(f'no string at {at}')
    value = found.group(1)
    if '\\' in value:
        # Python keeps \ud83d\ude00 as two halves; UTF-16 joins them, and a lone half fails there.
        value = _ESCAPE.sub(_unescape, value)
        try:
            value = value.encode('utf-16-le', 'surrogatepass').decode('utf-16-le')
        except UnicodeDecodeError:
            raise ProfileError(f'lone surrogate in the string at {at}') from None
    return value, found.end()


def _unescape(found):
    digits, letter = found.groups()
    if digits:
        return chr(int(digits, 16))
    if letter not in _ESCAPED:
        raise ProfileError(f'unknown escape {letter!r}')
    return _ESCAPED[letter]


def _write(value):
    if isinstance(value, str):
        yield _quoted(value)
    elif isinstance(value, dict):
        mark = '{'
        # RFC 8785 sorts by UTF-16 code units, which is not the order of code points.
        for key in sorted(value, key=lambda key: key.encode('utf-16-be')):
            yield mark + _quoted(key) + ':'
            yield from _write(value[key])
            mark = ','
        yield '}' if value else '{}'
    elif isinstance(value, list):
        mark = '['
        for item in value:
            yield mark
            yield from _write(item)
            mark = ','
        yield ']' if value else '[]'
    else:
        yield str(value)


def _quoted(text):
    return '"' + _MUST_ESCAPE.sub(lambda c: _WRITTEN.get(c.group()) or f'\\u{ord(c.group()):04x}', text) + '"'
