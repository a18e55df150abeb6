"""Makes logs for the tests, honest ones and lies: the part of a server that the verifier needs to be shown.

Every document passes through a `change`, called on its data before it is hashed, so a test can tell one lie
and have everything after it agree with that lie.
"""

import hashlib
import os
import shutil

import curve
from address import address_of
from clearing import Record, State, outputs_of
from document import Unreadable
from json_profile import canonical
from log import WIDTH, tile_path
from note import VerifierKey, checkpoint_text, encode
from tree import Range, leaf_hash, root, sha3, sha256

DOMAIN = 'wallet.test'
EXPIRY = '2030-01-01T00:00:00.000Z'


class Signer:
    """An Ed25519 key from a seed, as RFC 8032 has it."""

    def __init__(self, name, domain=DOMAIN):
        digest = hashlib.sha512(hashlib.sha256(name.encode()).digest()).digest()
        number = int.from_bytes(digest[:32], 'little')
        self._scalar, self._prefix = (number & (1 << 254) - 8) | 1 << 254, digest[32:]
        self.public = _times_base(self._scalar)
        self.address = address_of(self.public)
        self.key = VerifierKey(domain, sha256(domain.encode() + b'\n\x01' + self.public)[:4], self.public)

    def sign(self, message):
        nonce = int.from_bytes(hashlib.sha512(self._prefix + message).digest(), 'little')
        point = _times_base(nonce)
        k = int.from_bytes(hashlib.sha512(point + self.public + message).digest(), 'little')
        return point + ((nonce + k * self._scalar) % curve.L).to_bytes(32, 'little')

    def line(self, text):
        """A signature line over the text of a note, as the log key."""
        return f'\u2014 {DOMAIN} {encode(self.key.id + self.sign(text.encode()))}'


def _times_base(scalar):
    return curve._encode(curve.combine(scalar % curve.L, 0, curve.BASE))


def document(data, meta=None):
    return {'data': data, 'meta': {} if meta is None else meta,
            'hash': {'steps': 'stringify:data', 'types': 'sha3-256', 'value': sha3(canonical(data)).hex()}}


def iou(source, target, amount, unit=None, /, **fields):
    """A signed IOU; `fields` replace or add to its data."""
    data = {'domain': DOMAIN, 'source': source.address, 'target': target.address, 'amount': amount, 'expiry': EXPIRY,
            'symbol': (unit or source).address, 'random': os.urandom(8).hex(), **fields}
    made = document(data)
    made['meta'] = {'signatures': [{'scheme': 'eddsa-ed25519', 'signer': source.address, 'public': source.public.hex(),
                                    'string': source.sign(bytes.fromhex(made['hash']['value'])).hex()}]}
    return made


def puzzle(threshold, *members):
    """A puzzle of (signer, weight) pairs, as a document; `Shared` gives its address."""
    identities = [{'scheme': 'eddsa-ed25519', 'public': signer.public.hex(), 'weight': weight} for signer, weight in members]
    return document({'identities': identities, 'conditions': {'multisig': {'threshold': threshold}}})


class Shared:
    """Who pays from a puzzle's address: nobody has its key."""

    def __init__(self, made):
        self.puzzle, self.address = made, address_of(canonical(made['data']))

    def iou(self, signers, target, amount, unit=None, /, **fields):
        """An IOU of the puzzle, signed by these."""
        made = iou(_Nobody(self.address), target, amount, unit, **fields)
        made['meta'] = {'scripts': [self.puzzle], 'signatures': [self.signature(signer, made) for signer in signers]}
        return made

    def signature(self, signer, made):
        return {'scheme': 'eddsa-ed25519', 'signer': self.address, 'public': signer.public.hex(),
                'script': self.puzzle['hash']['value'], 'string': signer.sign(bytes.fromhex(made['hash']['value'])).hex()}


class _Nobody:
    public = b''

    def __init__(self, address):
        self.address = address

    @staticmethod
    def sign(_message):
        return b''


class Forge:
    """A log under construction; times are of one day unless said."""

    def __init__(self, change=None, genesis=None):
        self.signer, self.leaves, self.state = Signer('log'), [], State()
        self.log, self.number, self.height, self.hash = Range(sha256), 0, 0, ''
        self.time, self.stacked = '2026-01-01T00:00:00.000Z', []
        self.checkpoints = []
        self._new_block()
        data = {'kind': 'genesis', 'domain': DOMAIN, 'rules': '1', 'time': self.time, 'key': str(self.signer.key)}
        self.hash = self.stack_hash = self.put(data, change=genesis)
        self.stack_height, self.stack_first = 0, 0
        self.block(change=change)

    def _new_block(self):
        self.first, self.inner, self.records, self.block_signer = len(self.leaves), [], 0, self.signer
        self.log_root = self.log.root()

    def put(self, data, meta=None, change=None, raw=None):
        """Appends a leaf, and gives its hash."""
        if change:
            change(data)
        made = document(data, meta)
        self.raw(canonical(made) if raw is None else raw(made))
        return made['hash']['value']

    def raw(self, leaf):
        self.leaves.append(leaf)
        self.log.push(leaf_hash(sha256, leaf))
        self.inner.append(leaf_hash(sha3, leaf))

    def record(self, *ious, change=None, time=None, raw=None):
        """A record that clears as it should, unless changed."""
        self.number, self.records, self.time = self.number + 1, self.records + 1, time or self.time
        data = {'kind': 'record', 'domain': DOMAIN, 'number': str(self.number), 'time': self.time,
                'inputs': [{'hash': one['hash']['value']} for one in ious], 'outputs': []}
        meta = {'inputs': list(ious)}
        cleared = Record(document(data, meta))
        data['outputs'] = outputs_of(self.state._move(cleared, self.state._lock_faults(cleared)[1]), cleared.ious)
        self.put(data, meta, change, raw)
        try:
            record = Record(document(data, meta))
            self.state._take(record)
            self.number = record.number
        except Unreadable:
            pass

    def stack(self, change=None):
        data = {'kind': 'stack', 'domain': DOMAIN, 'height': str(self.stack_height), 'time': self.block_time,
                'previous': self.stack_hash, 'first': str(self.stack_first), 'blocks': str(len(self.stacked)),
                'root': root(sha3, [leaf_hash(sha3, name) for name in self.stacked]).hex()}
        self.stack_hash = self.put(data, change=change)
        self.stack_height, self.stack_first, self.stacked = self.stack_height + 1, self.height, []

    def rotate(self, to, change=None, liar=None):
        data = {'kind': 'keys', 'domain': DOMAIN, 'time': self.time, 'old': str(self.signer.key), 'new': str(to.key)}
        if change:
            change(data)
        text = f'{DOMAIN}\nkeys\n{document(data)["hash"]["value"]}\n'
        self.put(data, {'signatures': [(liar or self.signer).line(text), to.line(text)]})
        self.signer = to

    def block(self, change=None, time=None):
        """Closes the block, and signs the checkpoint after it."""
        self.time = time or self.time
        state, units, _ = self.state.roots()
        text = checkpoint_text(DOMAIN, self.first, self.log_root)
        self.block_time = self.time
        data = {'kind': 'block', 'domain': DOMAIN, 'rules': '1', 'height': str(self.height), 'previous': self.hash,
                'first': str(self.first), 'leaves': str(len(self.inner)), 'records': str(self.records),
                'cleared': str(self.number), 'time': self.time, 'root': root(sha3, self.inner).hex(),
                'log': self.log_root.hex(), 'signature': self.block_signer.line(text),
                'state': state.hex(), 'units': units.hex()}
        self.hash = self.put(data, change=change)
        self.stacked.append(bytes.fromhex(self.hash))
        self.height += 1
        self._new_block()
        self.checkpoints.append(self.checkpoint())

    def checkpoint(self):
        text = checkpoint_text(DOMAIN, len(self.leaves), self.log.root())
        return f'{text}\n{self.signer.line(text)}\n'.encode()

    def write(self, directory):
        """The directory an auditor is given: the last checkpoint, tiles and bundles."""
        shutil.rmtree(os.path.join(directory, 'tile'), ignore_errors=True)
        _put(directory, 'checkpoint', self.checkpoints[-1])
        for index in range(-(-len(self.leaves) // WIDTH)):
            leaves = self.leaves[index * WIDTH:(index + 1) * WIDTH]
            _put(directory, _path('entries', index, len(leaves)), b''.join(len(x).to_bytes(2, 'big') + x for x in leaves))
        hashes, level = [leaf_hash(sha256, leaf) for leaf in self.leaves], 0
        while hashes:
            for index in range(-(-len(hashes) // WIDTH)):
                part = hashes[index * WIDTH:(index + 1) * WIDTH]
                _put(directory, _path(level, index, len(part)), b''.join(part))
            hashes = [root(sha256, hashes[at:at + WIDTH]) for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
            level += 1


def _path(level, index, width):
    return tile_path(level, index) + (f'.p/{width}' if width < WIDTH else '')


def _put(directory, path, raw):
    path = os.path.join(directory, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(raw)
