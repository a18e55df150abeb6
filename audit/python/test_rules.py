"""The rules that need no log, on the vectors every implementation shares (tests/vectors)."""

import base64
import glob
import hashlib
import json
import os
import unittest

import curve
from address import address_of, is_address, ripemd160
from amount import parse_amount, parse_balance, write
from document import Unreadable, number, time_ms
from iou import Iou
from json_profile import ProfileError, canonical, parse, parse_canonical
from tree import Range, SparseTree, leaf_hash, root, root_from_path, sha256, sha3

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tests', 'vectors')


def vectors(name):
    with open(os.path.join(VECTORS, name), encoding='utf-8') as file:
        return json.load(file)


class Signatures(unittest.TestCase):
    """A wrong verdict here accepts a forged payment, or calls an honest server a liar."""

    def test_every_iou_of_the_original_sdk(self):
        """Payments signed with the original SDK would be called forged, or what only looks signed be taken for them."""
        cases = vectors('iou-signatures.json')['cases']
        self.assertEqual(len(cases), 58)
        for case in cases:
            with self.subTest(case['name']):
                self.assertEqual(self.verdict(case['iou']), case['strict'] is True)

    @staticmethod
    def verdict(document):
        # These vectors speak of hash, addresses and signatures only; this one breaks a rule of shape besides.
        if 'solver' in document['data']:
            document = {**document, 'data': {**document['data']}}
            signature, value = document['meta']['signatures'][0], document['hash']['value']
            return (address_of(bytes.fromhex(signature['public'])) == document['data']['source'] and
                    curve.verify(signature['scheme'], *(bytes.fromhex(x) for x in (signature['public'], value, signature['string']))))
        iou = Iou(document, 'iou')
        return not iou.hash_faults() and not iou.signature_faults()

    def test_points_of_small_order_never_sign(self):
        """One signature would do for every payment, and nobody could be held to any."""
        # The neutral element as key and R, S = 0: a signature of everything under looser rules.
        neutral = (1).to_bytes(32, 'little')
        self.assertFalse(curve.verify('eddsa-ed25519', neutral, b'any', neutral + bytes(32)))
        # A key of a good point plus a point of order 2 is not torsion-free.
        mixed = curve._encode(curve.add(curve.BASE, (0, curve.P - 1, 1, 0)))
        self.assertIsNone(curve.key('eddsa-ed25519', mixed))
        self.assertIsNotNone(curve.key('eddsa-ed25519', curve._encode(curve.BASE)))
        # A good key, that of the secret 1, with a nonce of 0: R is neutral, and its equation holds.
        public = curve._encode(curve.BASE)
        s = int.from_bytes(hashlib.sha512(neutral + public + b'any').digest(), 'little') % curve.L
        self.assertFalse(curve.verify('eddsa-ed25519', public, b'any', neutral + s.to_bytes(32, 'little')))

    def test_der_has_one_form(self):
        """One reader would take a signature in a spelling that another refuses."""
        case = next(c['iou'] for c in vectors('iou-signatures.json')['cases'] if c['name'] == 'ecdsa-compressed')
        signature = case['meta']['signatures'][0]
        public, message, good = (bytes.fromhex(x) for x in (signature['public'], case['hash']['value'], signature['string']))
        self.assertTrue(curve.verify('ecdsa-ed25519', public, message, good))
        longer, shorter = (good[:1] + bytes([good[1] + by]) + good[2:] for by in (1, -1))
        for bad in (good + b'\0', longer, shorter, longer + b'\0', b'\x31' + good[1:], good[:-1], b''):
            self.assertFalse(curve.verify('ecdsa-ed25519', public, message, bad))

    def test_only_canonical_encodings_are_points(self):
        """One key would have several spellings, and with each another address."""
        for y in (curve.P, curve.P + 1, 2**255 - 1):
            self.assertIsNone(curve.key('eddsa-ed25519', y.to_bytes(32, 'little')))
        self.assertIsNone(curve.key('eddsa-ed25519', (1 | 1 << 255).to_bytes(32, 'little')))


class Addresses(unittest.TestCase):
    """A wrong address pays somebody else."""

    def test_shared_vectors(self):
        for case in vectors('addresses.json')['cases']:
            with self.subTest(case['address']):
                self.assertEqual(is_address(case['address']), case['valid'])
                if 'public' in case:
                    public = bytes.fromhex(case['public'])
                    self.assertEqual(ripemd160(hashlib.sha256(public).digest()).hex(), case['ripemd160'])
                    self.assertEqual(address_of(public), case['address'])

    def test_ripemd160_as_published(self):
        self.assertEqual(ripemd160(b'').hex(), '9c1185a5c5e9fc54612808977ee8f548b2258d31')
        self.assertEqual(ripemd160(b'1234567890' * 8).hex(), '9b752e45573d4b39f4dbd3323cab82bf63326bfb')


class Json(unittest.TestCase):
    """Two readings of one text are two histories."""

    # Outside the profile: floats, numbers of more digits than a puzzle may have, literals.
    OUTSIDE = 9

    def test_shared_vectors(self):
        outside = 0
        for case in vectors('canonical-json.json')['cases']:
            with self.subTest(case['input']):
                try:
                    made = canonical(parse(case['input'].encode()))
                except ProfileError:
                    if case['canonical'] is not None and not case['input'].startswith('{"a":1,"a"'):
                        self.assertRegex(case['input'], r'null|[0-9][.eE][0-9+-]|-0|[0-9]{20}|:0')
                        outside += 1
                    continue
                self.assertEqual(made.hex(), case['utf8_hex'])
        self.assertEqual(outside, self.OUTSIDE)

    def test_what_must_be_refused(self):
        for text in ['{"a":"1","a":"2"}', '"\\ud800"', '"\\udc00\\ud800"', '{"a":true}', '[null]', '[1.0]', '[-1]', '[01]',
                     '{"a":"1",}', '["1"]x', '"\n"', '"\\x"', '', '{', '[' * 17 + ']' * 17]:
            with self.subTest(text), self.assertRaises(ProfileError):
                parse(text.encode())
        with self.assertRaises(ProfileError):
            parse(b'"\xed\xa0\x80"')
        parse(b'[' * 16 + b']' * 16)

    def test_another_form_of_the_same_value_is_not_canonical(self):
        self.assertEqual(parse_canonical(b'{"a":"1","b":[]}'), {'a': '1', 'b': []})
        for raw in [b'{"b":[],"a":"1"}', b'{"a": "1"}', b'"\\u0041"', b'"\\/"', '"\\u00e9"'.encode()]:
            with self.subTest(raw), self.assertRaises(ProfileError):
                parse_canonical(raw)


class Amounts(unittest.TestCase):
    """Money is exact or it is not money."""

    def test_grammar_and_shortest_form(self):
        """A holder would lose what is rounded away, or one amount have two spellings and so two hashes."""
        for text in ['01', '', '.5', '5.', '+1', '-1', '1e3', '1,0', '9' * 61, '0.' + '1' * 41, '１']:
            self.assertIsNone(parse_amount(text), text)
        for text, short in [('10.50', '10.5'), ('0.0', '0'), ('9' * 60, '9' * 60), ('0.' + '0' * 39 + '1', '0.' + '0' * 39 + '1')]:
            self.assertEqual(write(parse_amount(text)), short)
        self.assertEqual(write(parse_balance('net', '-0')), '0')
        self.assertEqual(write(parse_balance('min', '-Infinity')), '-Infinity')
        self.assertEqual(write(parse_balance('max', 'Infinity')), 'Infinity')
        for key, text in [('min', 'Infinity'), ('max', '-Infinity'), ('net', 'Infinity'), ('net', '-Infinity'), ('net', '--1')]:
            self.assertIsNone(parse_balance(key, text), f'{key} {text}')
        third = parse_amount('0.1') * 3
        self.assertEqual(third, parse_amount('0.3'))

    def test_numbers_have_64_bits(self):
        """Two readers of one number would count the records of a log apart."""
        for text in ['0', '9', '10000000000000000000', str(2**64 - 1)]:
            self.assertEqual(number(text), int(text))
        for text in ['', '00', '01', '+1', '-1', '1.0', '１', str(2**64), '1' * 21, 1, None]:
            self.assertIsNone(number(text), text)

    def test_times(self):
        """A payment would expire on another day for one reader than for the next."""
        self.assertEqual(time_ms('1970-01-01T00:00:00.000Z'), 0)
        self.assertEqual(time_ms('2026-11-21T19:37:42.135Z'), 1795289862135)
        self.assertEqual(time_ms('2024-02-29T23:59:59.999Z') + 1, time_ms('2024-03-01T00:00:00.000Z'))
        self.assertIsNotNone(time_ms('0000-01-01T00:00:00.000Z'))
        for text in ['2026-02-29T00:00:00.000Z', '2026-01-01T24:00:00.000Z', '2026-01-01T00:00:60.000Z', '2026-01-01T00:00:00Z', None]:
            self.assertIsNone(time_ms(text))


class Trees(unittest.TestCase):
    """Every proof of a payment is a path in one of these."""

    def test_shared_inclusion_vectors(self):
        """A payment that is in no log would be proved, or one that is in a log not."""
        files = glob.glob(os.path.join(VECTORS, 'merkle', '**', 'inclusion', '**', '*.json'), recursive=True)
        self.assertGreater(len(files), 80)
        for path in files:
            case = vectors(path)
            with self.subTest(path):
                path = [base64.b64decode(node) for node in case['proof'] or []]
                found = root_from_path(base64.b64decode(case['leafHash'] or ''), case['leafIdx'], case['treeSize'], path)
                right = found == base64.b64decode(case['root'] or '') and all(len(node) == 32 for node in [found, *path])
                self.assertEqual(right, not case['wantErr'])

    def test_roots_grow_as_rfc_6962_says(self):
        """An honest log would be called false by a root that nobody else computes."""
        # The inputs and roots that the RFC's own implementations publish.
        inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
        roots = ['6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
                 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
                 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
                 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
                 '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
                 '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
                 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
                 '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328']
        tree = Range(sha256)
        self.assertEqual(tree.root(), sha256(b''))
        for text, expected in zip(inputs, roots):
            tree.push(leaf_hash(sha256, bytes.fromhex(text)))
            self.assertEqual(tree.root().hex(), expected)
        self.assertEqual(root(sha256, []), sha256(b''))

    def test_state_tree_by_hand(self):
        """A host could commit to other balances than its records give, or be called a liar for the right ones."""
        tree, value = SparseTree(), sha3(b'value')
        self.assertEqual(tree.root(), bytes(32))
        low, high, higher = bytes(32), b'\x80' + bytes(31), b'\xc0' + bytes(31)

        def leaf(key):
            return sha3(b'\x00' + key + value)

        def node(left, right):
            return sha3(b'\x01' + left + right)
        tree.set(high, value)
        self.assertEqual(tree.root(), leaf(high))
        tree.set(higher, value)
        # Both keys start with a one, so the fork of the first bit has an empty side.
        self.assertEqual(tree.root(), node(bytes(32), node(leaf(high), leaf(higher))))
        tree.set(low, sha3(b'old'))
        tree.root()
        tree.set(low, value)
        self.assertEqual(tree.root(), node(leaf(low), node(leaf(high), leaf(higher))))


class Shapes(unittest.TestCase):
    """What a server must never have taken, an auditor must not pass."""

    def setUp(self):
        self.good = next(c['iou'] for c in vectors('iou-signatures.json')['cases'] if c['name'] == 'eddsa')

    def test_broken_shapes_are_unreadable(self):
        """A host could clear what an honest one refuses, and nobody be told."""
        Iou(self.good, 'iou')
        for key, value in [('amount', '01'), ('amount', '0'), ('amount', 1), ('random', 'short'), ('random', 'x' * 101),
                           ('target', self.good['data']['source']), ('expiry', '2031-01-01'), ('credit', '0'), ('credit', '-0.0'),
                           ('custom', 'ab'), ('unknown', 'x'), ('locker', 'x'), ('active', [])]:
            with self.subTest(f'{key} {value}'), self.assertRaises(Unreadable):
                Iou({**self.good, 'data': {**self.good['data'], key: value}}, 'iou')

    def test_custom_data_must_hash_to_its_name(self):
        """Other words than the payer signed could be put under a payment."""
        name = sha256(sha256(b'{"note":"rent"}')).hex()
        made = {**self.good, 'data': {**self.good['data'], 'custom': name}}
        for text, good in [('rent', True), ('gift', False)]:
            made['meta'] = {**self.good['meta'], 'custom': {'data': {'note': text}}}
            wrong = [fault.field for fault in Iou(made, 'iou').hash_faults() if 'custom' in fault.field]
            self.assertEqual(wrong, [] if good else ['iou.data.custom'])
        for value in ['', 'ab', name.upper()]:
            stated = {'steps': 'stringify:data', 'types': 'sha256:sha256', 'value': value}
            made['meta']['custom'] = {'data': {'note': 'rent'}, 'hash': stated}
            with self.subTest(value), self.assertRaises(Unreadable):
                Iou(made, 'iou')


if __name__ == '__main__':
    unittest.main()
