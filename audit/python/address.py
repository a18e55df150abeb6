"""Addresses: base58check(0x87 ‖ ripemd160(sha256(key))).

RIPEMD-160 is written out because many builds of OpenSSL, and so of hashlib, no longer carry it.
"""

import hashlib
from functools import lru_cache

_ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
_PREFIX = b'\x87'
_MASK = 0xffffffff

_LEFT = [list(range(16)),
         [7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8],
         [3, 10, 14, 4, 9, 15, 8, 1, 2, 7, 0, 6, 13, 11, 5, 12],
         [1, 9, 11, 10, 0, 8, 12, 4, 13, 3, 7, 15, 14, 5, 6, 2],
         [4, 0, 5, 9, 7, 12, 2, 10, 14, 1, 3, 8, 11, 6, 15, 13]]
_RIGHT = [[5, 14, 7, 0, 9, 2, 11, 4, 13, 6, 15, 8, 1, 10, 3, 12],
          [6, 11, 3, 7, 0, 13, 5, 10, 14, 15, 8, 12, 4, 9, 1, 2],
          [15, 5, 1, 3, 7, 14, 6, 9, 11, 8, 12, 2, 10, 0, 4, 13],
          [8, 6, 4, 1, 3, 11, 15, 0, 5, 12, 2, 13, 9, 7, 10, 14],
          [12, 15, 10, 4, 1, 5, 8, 7, 6, 2, 13, 14, 0, 3, 9, 11]]
_LEFT_SHIFTS = [[11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8],
                [7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15, 9, 11, 7, 13, 12],
                [11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5],
                [11, 12, 14, 15, 14, 15, 9, 8, 9, 14, 5, 6, 8, 6, 5, 12],
                [9, 15, 5, 11, 6, 8, 13, 12, 5, 12, 13, 14, 11, 8, 5, 6]]
_RIGHT_SHIFTS = [[8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6],
                 [9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12, 7, 6, 15, 13, 11],
                 [9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5],
                 [15, 5, 8, 11, 14, 14, 6, 14, 6, 9, 12, 9, 12, 5, 15, 8],
                 [8, 5, 12, 9, 12, 5, 14, 6, 8, 13, 6, 5, 15, 13, 11, 11]]
_LEFT_SUMS = [0, 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xa953fd4e]
_RIGHT_SUMS = [0x50a28be6, 0x5c4dd124, 0x6d703ef3, 0x7a6d76e9, 0]
_MIX = [lambda x, y, z: x ^ y ^ z,
        lambda x, y, z: (x & y) | (~x & z),
        lambda x, y, z: (x | ~y) ^ z,
        lambda x, y, z: (x & z) | (y & ~z),
        lambda x, y, z: x ^ (y | ~z)]


def _line(state, words, mixes, orders, shifts, sums):
    a, b, c, d, e = state
    for mix, order, shift, extra in zip(mixes, orders, shifts, sums):
        for word, bits in zip(order, shift):
            turn = (a + (mix(b, c, d) & _MASK) + words[word] + extra) & _MASK
            turn = (((turn << bits) | (turn >> (32 - bits))) + e) & _MASK
            a, e, d, c, b = e, d, ((c << 10) | (c >> 22)) & _MASK, b, turn
    return a, b, c, d, e


def ripemd160(data):
    """The 20 bytes of RIPEMD-160."""
    state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]
    padded = data + b'\x80' + bytes((55 - len(data)) % 64) + (8 * len(data)).to_bytes(8, 'little')
    for start in range(0, len(padded), 64):
        words = [int.from_bytes(padded[at:at + 4], 'little') for at in range(start, start + 64, 4)]
        left = _line(state, words, _MIX, _LEFT, _LEFT_SHIFTS, _LEFT_SUMS)
        right = _line(state, words, _MIX[::-1], _RIGHT, _RIGHT_SHIFTS, _RIGHT_SUMS)
        state = [(state[(i + 1) % 5] + left[(i + 2) % 5] + right[(i + 3) % 5]) & _MASK for i in range(5)]
    return b''.join(word.to_bytes(4, 'little') for word in state)


def _checksum(payload):
    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]


@lru_cache(maxsize=65536)
def address_of(public):
    """The address of a public key, its bytes exactly as given."""
    payload = _PREFIX + ripemd160(hashlib.sha256(public).digest())
    number, text = int.from_bytes(payload + _checksum(payload), 'big'), ''
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text


@lru_cache(maxsize=65536)
def is_address(text):
    """True for base58 of prefix 0x87, 20 bytes and their checksum."""
    number = 0
    if len(text) > 40:
        return False
    for letter in text:
        digit = _ALPHABET.find(letter)
        if digit < 0:
            return False
        number = number * 58 + digit
    # The first byte is not zero, so no leading '1' may stand, and the length follows from the number.
    if text.startswith('1') or (number.bit_length() + 7) // 8 != 25:
        return False
    raw = number.to_bytes(25, 'big')
    return raw[:1] == _PREFIX and raw[21:] == _checksum(raw[:21])
