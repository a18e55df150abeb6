"""Puzzles: addresses that several keys hold together, by the weight of those who sign.

A puzzle travels in `meta.scripts` of the IOU that it signs. Its address comes from the canonical bytes of its
`data`, as a key's comes from the key.
"""

import re
from dataclasses import dataclass

from address import address_of
from document import Unreadable, is_hash, members, texts
from json_profile import canonical

PUZZLES_MAX, IDENTITIES_MAX = 16, 16
_HEX_PAIRS = re.compile('([0-9a-fA-F]{2})+')


@dataclass(frozen=True)
class Identity:
    """A key that may sign, and what its signature weighs."""
    scheme: str
    public: bytes
    weight: int


class Puzzle:
    """A well-shaped puzzle; Unreadable says what is not."""

    def __init__(self, document, field):
        self.document, self.field = document, field
        members(document, field, ['data', 'hash', 'meta'])
        members(document['meta'], field + '.meta', [])
        texts(document['hash'], field + '.hash', ['steps', 'types', 'value'])
        self.hash = document['hash']['value']
        if not is_hash(self.hash):
            raise Unreadable(field + '.hash.value', '64 lower-case hex digits', self.hash)
        data = document['data']
        members(data, field + '.data', ['conditions', 'identities'])
        members(data['conditions'], field + '.data.conditions', ['multisig'])
        members(data['conditions']['multisig'], field + '.data.conditions.multisig', ['threshold'])
        self.threshold = _whole(data['conditions']['multisig']['threshold'], field + '.data.conditions.multisig.threshold')
        self.identities = self._identities(data['identities'], field + '.data.identities')
        self.address = address_of(canonical(data))

    @staticmethod
    def _identities(items, field):
        if not isinstance(items, list) or not 1 <= len(items) <= IDENTITIES_MAX:
            raise Unreadable(field, f'a list of 1 to {IDENTITIES_MAX}')
        identities = []
        for index, item in enumerate(items):
            at = f'{field}.{index}'
            members(item, at, ['public', 'scheme'], ['weight'])
            weight = _whole(item.get('weight', 1), at + '.weight')
            texts({key: item[key] for key in ('public', 'scheme')}, at, ['public', 'scheme'])
            if not _HEX_PAIRS.fullmatch(item['public']):
                raise Unreadable(at + '.public', 'pairs of hex digits', item['public'])
            identities.append(Identity(item['scheme'], bytes.fromhex(item['public']), weight))
        if len({(one.scheme, one.public) for one in identities}) < len(identities):
            raise Unreadable(field, 'each identity once')
        return identities

    def has(self, scheme, public):
        return any((one.scheme, one.public) == (scheme, public) for one in self.identities)

    def weight(self, signed):
        """What those of its identities weigh that are in `signed`, a set of (signer, scheme, public)."""
        return sum(one.weight for one in self.identities if (self.address, one.scheme, one.public) in signed)


def read_puzzles(documents, field):
    """The puzzles of `meta.scripts`."""
    if not isinstance(documents, list) or not 1 <= len(documents) <= PUZZLES_MAX:
        raise Unreadable(field, f'a list of 1 to {PUZZLES_MAX}')
    puzzles = [Puzzle(document, f'{field}.{index}') for index, document in enumerate(documents)]
    if len({puzzle.hash for puzzle in puzzles}) < len(puzzles):
        raise Unreadable(field, 'each puzzle once')
    return puzzles


def _whole(value, field):
    # The parser lets no other number in than those from 1 to 2^31-1.
    if not isinstance(value, int):
        raise Unreadable(field, 'a whole number', value)
    return value
