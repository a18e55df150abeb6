"""One IOU by itself: its shape, hashes, domain, addresses and signatures. Needs no state.

Whether a lock that it uses is there, and open, is asked in clearing.
"""

import re

import curve
from address import address_of, is_address
from amount import parse_amount
from document import HASHES, Fault, Unreadable, hash_faults, is_hash, members, texts, time_ms
from json_profile import canonical, strings_only
from lock import Locker, Solver
from puzzle import read_puzzles

SIGNATURES_MAX = 16
LINKER = 'sha256:ripemd160'

_REQUIRED = ['amount', 'domain', 'expiry', 'random', 'source', 'symbol', 'target']
_OPTIONAL = ['active', 'credit', 'custom', 'locker', 'solver']
_HEX_PAIRS = re.compile('([0-9a-fA-F]{2})+')


class Iou:
    """The parts of a well-shaped IOU. Amounts in units of 10^-40, times in milliseconds."""

    def __init__(self, document, field):
        members(document, field, ['data', 'hash', 'meta'])
        self.document, self.field = document, field + '.'
        texts(document['hash'], self.field + 'hash', ['steps', 'types', 'value'])
        self.hash = document['hash']['value']
        if not is_hash(self.hash):
            raise Unreadable(self.field + 'hash.value', '64 lower-case hex digits', self.hash)
        self._read_data(document['data'], self.field + 'data')
        self._read_meta(document['meta'], self.field + 'meta')

    def _read_data(self, data, field):
        members(data, field, _REQUIRED, _OPTIONAL)
        self.locker = Locker(data['locker'], field + '.locker') if 'locker' in data else None
        self.solver = Solver(data['solver'], field + '.solver') if 'solver' in data else None
        plain = {key: value for key, value in data.items() if key not in ('locker', 'solver')}
        texts(plain, field, _REQUIRED, _OPTIONAL)
        if not strings_only(data):
            raise Unreadable(field, 'no JSON numbers')
        self.domain, self.source, self.target, self.unit = (data[k] for k in ('domain', 'source', 'target', 'symbol'))
        if self.source == self.target:
            raise Unreadable(field + '.target', 'another address than the source', self.target)
        self.amount = self._amount(data, 'amount', field)
        if not 8 <= len(data['random']) <= 100:
            raise Unreadable(field + '.random', '8 to 100 characters', len(data['random']))
        self.expiry = self._time(data, 'expiry', field)
        self.active = self._time(data, 'active', field) if 'active' in data else None
        self.credit = self._credit(data, field) if 'credit' in data else None
        if self.amount == 0 and ('locker' in data or (self.credit is None and 'solver' not in data)):
            raise Unreadable(field + '.amount', 'more than zero', data['amount'])
        self.custom = data.get('custom')
        if self.custom is not None and not is_hash(self.custom):
            raise Unreadable(field + '.custom', '64 lower-case hex digits', self.custom)

    @staticmethod
    def _amount(data, key, field, text=None):
        amount = parse_amount(data[key] if text is None else text)
        if amount is None:
            raise Unreadable(f'{field}.{key}', 'a decimal of at most 60 and 40 digits', data[key])
        return amount

    @staticmethod
    def _time(data, key, field):
        time = time_ms(data[key])
        if time is None:
            raise Unreadable(f'{field}.{key}', 'YYYY-MM-DDTHH:MM:SS.sssZ', data[key])
        return time

    def _credit(self, data, field):
        text = data['credit']
        grants = text.startswith('-')
        credit = self._amount(data, 'credit', field, text[grants:])
        if credit == 0 or self.locker or self.solver:
            raise Unreadable(field + '.credit', 'not zero, and no locker or solver beside it', text)
        return -credit if grants else credit

    def _read_meta(self, meta, field):
        members(meta, field, ['signatures'], ['scripts', 'custom'])
        self.puzzles = read_puzzles(meta['scripts'], field + '.scripts') if 'scripts' in meta else []
        self.signatures = meta['signatures']
        if not isinstance(self.signatures, list) or len(self.signatures) > SIGNATURES_MAX:
            raise Unreadable(field + '.signatures', f'a list of at most {SIGNATURES_MAX}')
        for index, signature in enumerate(self.signatures):
            at = f'{field}.signatures.{index}'
            texts(signature, at, ['public', 'scheme', 'signer', 'string'], ['linker', 'script'])
            for key in ('public', 'string'):
                if not _HEX_PAIRS.fullmatch(signature[key]):
                    raise Unreadable(f'{at}.{key}', 'pairs of hex digits', signature[key])
            if 'script' in signature and not is_hash(signature['script'].lower()):
                raise Unreadable(f'{at}.script', '64 hex digits', signature['script'])
        if 'custom' in meta:
            self._read_custom(meta['custom'], field + '.custom')

    def _read_custom(self, custom, field):
        members(custom, field, ['data'], ['hash'])
        if self.custom is None or not isinstance(custom['data'], dict) or len(custom['data']) > 10:
            raise Unreadable(field, 'an object of at most 10 keys, beside data.custom')
        if not strings_only(custom):
            raise Unreadable(field, 'no JSON numbers')
        if 'hash' in custom:
            texts(custom['hash'], field + '.hash', ['steps', 'types', 'value'])
            if not is_hash(custom['hash']['value']):
                raise Unreadable(field + '.hash.value', '64 lower-case hex digits', custom['hash']['value'])

    def hash_faults(self):
        """A-HASH: its own hash, and those of its puzzles and its custom data."""
        faults = hash_faults(self.document, self.field, list(HASHES))
        for puzzle in self.puzzles:
            faults += hash_faults(puzzle.document, puzzle.field + '.', list(HASHES))
        custom = self.document['meta'].get('custom')
        if custom is not None:
            field = self.field + 'meta.custom.'
            if 'hash' in custom:
                faults += hash_faults(custom, field, list(HASHES))
            types = custom.get('hash', {}).get('types', 'sha256:sha256')
            if types in HASHES:
                value = HASHES[types](canonical(custom['data'])).hex()
                if value != self.custom:
                    faults.append(Fault('A-HASH', self.field + 'data.custom', value, self.custom))
        return faults

    def domain_faults(self, domain):
        return [] if self.domain == domain else [Fault('A-DOMAIN', self.field + 'data.domain', domain, self.domain)]

    def solves(self, script):
        """Whether those who sign for the puzzle of this hash weigh enough, their signatures being good."""
        signed = {(signature['signer'], signature['scheme'], bytes.fromhex(signature['public']))
                  for signature in self.signatures if 'script' in signature}
        return any(puzzle.hash == script and puzzle.weight(signed) >= puzzle.threshold for puzzle in self.puzzles)

    def signature_faults(self, known=False):
        """A-SIG: every signature in the list must be good, each by another key, and enough of them by the source.

        Of `known` ones, verified in an earlier audit, only schemes and addresses are asked again.
        """
        field = self.field + 'meta.signatures'
        for key in ('source', 'target', 'symbol'):
            address = self.document['data'][key]
            if not is_address(address):
                return [Fault('A-SIG', f'{self.field}data.{key}', 'an address', address)]
        for puzzle in self.puzzles:
            for index, identity in enumerate(puzzle.identities):
                if identity.scheme not in curve.SCHEMES:
                    return [Fault('A-SIG', f'{puzzle.field}.data.identities.{index}.scheme', '|'.join(sorted(curve.SCHEMES)), identity.scheme)]
        if all(signature['signer'] != self.source for signature in self.signatures):
            return [Fault('A-SIG', field, 'a signature of the source', 'none')]
        seen = set()
        for index, signature in enumerate(self.signatures):
            fault = self._claim_fault(signature) or (None if known else self._proof_fault(signature, seen))
            if fault:
                part, expected = fault
                return [Fault('A-SIG', f'{field}.{index}.{part}', expected, signature.get(part))]
        if known:
            return []
        for puzzle in self.puzzles:
            weight = puzzle.weight(seen)
            if puzzle.address == self.source and weight < puzzle.threshold:
                return [Fault('A-SIG', field, f'signatures that weigh {puzzle.threshold}', str(weight))]
        return []

    def _puzzle_of(self, signature):
        return next((one for one in self.puzzles if one.hash == signature['script'].lower()), None)

    def _claim_fault(self, signature):
        """(part, expected) if the signature cannot be of whom it names, whatever it verifies to."""
        scheme, signer, public = signature['scheme'], signature['signer'], bytes.fromhex(signature['public'])
        if scheme not in curve.SCHEMES:
            return 'scheme', '|'.join(sorted(curve.SCHEMES))
        if signature.get('linker', LINKER) != LINKER:
            return 'linker', LINKER
        if 'script' in signature:
            puzzle = self._puzzle_of(signature)
            if puzzle is None:
                return 'script', 'the hash of a puzzle in meta.scripts'
            if signer != puzzle.address:
                return 'signer', puzzle.address
        elif address_of(public) != signer:
            return 'public', f'a key whose address is {signer}'
        return None

    def _proof_fault(self, signature, seen):
        """(part, expected) if the signature is of nobody asked, of a key that was `seen`, or not good."""
        scheme, signer, public = signature['scheme'], signature['signer'], bytes.fromhex(signature['public'])
        if 'script' in signature:
            if not self._puzzle_of(signature).has(scheme, public):
                return 'public', 'a key of one of the identities of the puzzle'
        elif signer != self.source:
            return 'signer', self.source
        if (signer, scheme, public) in seen:
            return 'public', 'each key once'
        seen.add((signer, scheme, public))
        if not curve.verify(scheme, public, bytes.fromhex(self.hash), bytes.fromhex(signature['string'])):
            return 'string', 'a signature of this key on hash.value'
        return None
