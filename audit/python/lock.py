"""Locks: amounts that one party may use until a time and under conditions, and that are another's from then on."""

import hashlib
import re

from address import is_address
from amount import parse_amount
from document import Unreadable, is_hash, members, number, texts, time_ms

_BYTES = re.compile('0x([0-9a-f]{64})')


class Locker:
    """The conditions in an IOU, or in the output it leaves."""

    def __init__(self, document, field):
        members(document, field, ['timers'], ['puzzle', 'script'])
        self.document = document
        texts(document['timers'], field + '.timers', ['expiry'], ['active'])
        times = {key: time_ms(text) for key, text in document['timers'].items()}
        for key, time in times.items():
            if time is None:
                raise Unreadable(f'{field}.timers.{key}', 'YYYY-MM-DDTHH:MM:SS.sssZ', document['timers'][key])
        self.expiry, self.active = times['expiry'], times.get('active')
        if self.active is not None and self.active >= self.expiry:
            raise Unreadable(field + '.timers.expiry', 'a time after active', document['timers']['expiry'])
        for key in ('puzzle', 'script'):
            if key in document and not is_hash(document[key]):
                raise Unreadable(f'{field}.{key}', '64 lower-case hex digits', document[key])
        self.puzzle, self.script = document.get('puzzle'), document.get('script')


class Solver:
    """The lock that an IOU uses, and what it shows."""

    def __init__(self, document, field):
        texts(document, field, ['output'], ['hashee'])
        self.output, self.hashee = document['output'], document.get('hashee')
        if not is_pointer(self.output):
            raise Unreadable(field + '.output', 'a pointer', self.output)
        if self.hashee is not None and not 1 <= len(self.hashee) <= 100:
            raise Unreadable(field + '.hashee', '1 to 100 characters', len(self.hashee))


class Lock:
    """A locked output."""

    def __init__(self, output, field):
        members(output, field, ['address', 'balance', 'counter', 'locker', 'source', 'sources'])
        texts(output['balance'], field + '.balance', ['max', 'min', 'net'])
        self.output, self.locker = output, Locker(output['locker'], field + '.locker')
        for key in ('address', 'counter', 'source'):
            if not isinstance(output[key], str) or not is_address(output[key]):
                raise Unreadable(f'{field}.{key}', 'an address', output[key])
        self.target, self.unit, self.source = output['address'], output['counter'], output['source']
        balance = output['balance']
        self.amount = parse_amount(balance['net'])
        if self.amount is None or balance['max'] != balance['net'] or balance['min'] != '0':
            raise Unreadable(field + '.balance', 'between zero and the amount', balance)
        if output['sources'] != []:
            raise Unreadable(field + '.sources', 'none', output['sources'])

    def fault(self, iou, time):
        """Why the source of this IOU may not use it at this time; None if it may."""
        locker = self.locker
        if iou.source == self.source:
            return None if time >= locker.expiry else 'not before its expiry by its source'
        if iou.source != self.target:
            return 'by its target or its source only'
        if time >= locker.expiry:
            return 'before its expiry by its target'
        if locker.active is not None and time < locker.active:
            return 'not before its active time'
        if locker.puzzle is not None and (iou.solver.hashee is None or puzzle_of(iou.solver.hashee) != locker.puzzle):
            return 'with the hashee of its puzzle'
        if locker.script is not None and not iou.solves(locker.script):
            return 'with signatures that solve its script'
        return None


def puzzle_of(hashee):
    """SHA-256 of the text, or of the 32 bytes that `0x` and 64 hex digits stand for."""
    found = _BYTES.fullmatch(hashee)
    return hashlib.sha256(bytes.fromhex(found.group(1)) if found else hashee.encode('utf-8')).hexdigest()


def is_pointer(text):
    if not isinstance(text, str):
        return False
    record, mark, index = text.partition('::')
    place = number(index)
    return mark == '::' and is_hash(record) and place is not None and place < 1 << 32
