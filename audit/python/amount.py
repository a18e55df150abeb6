"""Exact decimals as whole numbers of 10^-40, the finest amount there is; limits may be infinite."""

import math
import re

DIGITS_BEFORE, DIGITS_AFTER = 60, 40
ONE = 10**DIGITS_AFTER
OVERFLOW = 10**DIGITS_BEFORE * ONE
INFINITY = math.inf

_DECIMAL = re.compile(r'(0|[1-9][0-9]*)(?:\.([0-9]+))?')
_INFINITE = {('min', '-Infinity'): -INFINITY, ('max', 'Infinity'): INFINITY}


def parse_amount(text):
    """The value of an unsigned decimal within the digits allowed, or None."""
    found = _DECIMAL.fullmatch(text)
    if not found:
        return None
    before, after = found.group(1), found.group(2) or ''
    if len(before) > DIGITS_BEFORE or len(after) > DIGITS_AFTER:
        return None
    return int(before + after.ljust(DIGITS_AFTER, '0'))


def parse_balance(key, text):
    """`net`, `min` or `max` of a balance: as `parse_amount`, with a sign, or the infinity that may stand there."""
    if (key, text) in _INFINITE:
        return _INFINITE[key, text]
    value = parse_amount(text.removeprefix('-'))
    return -value if value and text.startswith('-') else value


def write(value):
    """The shortest form: no trailing zero, never "-0"."""
    if value in (INFINITY, -INFINITY):
        return 'Infinity' if value > 0 else '-Infinity'
    whole, part = divmod(abs(value), ONE)
    text = str(whole) + (f'.{part:040d}'.rstrip('0') if part else '')
    return '-' + text if value < 0 else text
