"""Edwards25519 and the two signature schemes on it: points, strict EdDSA, and the original SDK's ECDSA.

Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z. Not constant in time: nothing secret passes here.
One rule for every key and signature, the narrowest in common use, so that no library disagrees with it.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
_2D = 2 * D % P
_SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)
_KEYS_MAX = 100_000


def add(p, q):
    x1, y1, z1, t1 = p
    x2, y2, z2, t2 = q
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = t1 * t2 % P * _2D % P
    d = 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(p):
    x, y, z, _ = p
    a, b = x * x % P, y * y % P
    h = a + b
    e = h - (x + y) * (x + y) % P
    g = a - b
    f = 2 * z * z % P + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def negate(p):
    return -p[0] % P, p[1], p[2], -p[3] % P


def is_neutral(p):
    return p[0] % P == 0 and (p[1] - p[2]) % P == 0


def _multiples(p):
    table = [NEUTRAL, p]
    for _ in range(14):
        table.append(add(table[-1], p))
    return table


def _root(u, v):
    """A square root of u/v modulo P, or None."""
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * _SQRT_MINUS_ONE % P
    return None if (v * x * x - u) % P else x


def _point(x, y):
    return x, y, 1, x * y % P


def _affine(p):
    inverse = pow(p[2], -1, P)
    return p[0] * inverse % P, p[1] * inverse % P


def _encode(p):
    x, y = _affine(p)
    return (y | (x & 1) << 255).to_bytes(32, 'little')


BASE_Y = 4 * pow(5, -1, P) % P
_base_x = _root(BASE_Y * BASE_Y - 1, D * BASE_Y * BASE_Y + 1)
BASE = _point(_base_x if _base_x % 2 == 0 else P - _base_x, BASE_Y)
_BASE_TABLE = _multiples(BASE)


def combine(s, k, p):
    """s·BASE + k·p, four bits of both numbers at a time."""
    table, result = _multiples(p), NEUTRAL
    for shift in range(252, -4, -4):
        if result is not NEUTRAL:
            result = double(double(double(double(result))))
        if digit := s >> shift & 15:
            result = add(result, _BASE_TABLE[digit])
        if digit := k >> shift & 15:
            result = add(result, table[digit])
    return result


def _eddsa_point(public):
    """The point of 32 bytes in their only canonical form, or None."""
    if len(public) != 32:
        return None
    number = int.from_bytes(public, 'little')
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= P:
        return None
    x = _root(y * y - 1, D * y * y + 1)
    if x is None or (x == 0 and sign):
        return None
    return _point(x if x & 1 == sign else P - x, y)


def _ecdsa_point(public):
    """The point of 02/03 ‖ x or 04 ‖ x ‖ y, or None."""
    kind, x = public[:1], int.from_bytes(public[1:33], 'big')
    if x >= P:
        return None
    if kind == b'\x04' and len(public) == 65:
        y = int.from_bytes(public[33:], 'big')
        if y >= P or (y * y - x * x - 1 - D * x * x * y * y) % P:
            return None
        return _point(x, y)
    if kind not in (b'\x02', b'\x03') or len(public) != 33:
        return None
    y = _root(1 + x * x, 1 - D * x * x)
    if y is None:
        return None
    if y & 1 != kind[0] & 1:
        y = P - y
    return _point(x, y) if y < P else None


_DECODE = {'eddsa-ed25519': _eddsa_point, 'ecdsa-ed25519': _ecdsa_point}
SCHEMES = frozenset(_DECODE)
_keys = {}


def key(scheme, public):
    """The point of a public key that may sign, or None. Answers are remembered: the order test costs most."""
    name = scheme, public
    if name not in _keys:
        if len(_keys) >= _KEYS_MAX:
            _keys.clear()
        point = _DECODE[scheme](public)
        # L·A is neutral for torsion-free A only, and the one such A of small order is the neutral element.
        if point and (is_neutral(point) or not is_neutral(combine(0, L, point))):
            point = None
        _keys[name] = point
    return _keys[name]


def verify(scheme, public, message, signature):
    """True if the signature (bytes) on the message (bytes) is good under the strict rule of the scheme."""
    point = key(scheme, public)
    if point is None:
        return False
    return (_eddsa if scheme == 'eddsa-ed25519' else _ecdsa)(point, public, message, signature)


def _eddsa(point, public, message, signature):
    if len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], 'little')
    if s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), 'little') % L
    expected = combine(s, k, negate(point))
    # Comparing with our own encoding admits canonical R only; the result has no torsion, so of the points of
    # small order only the neutral one can come out.
    return not is_neutral(expected) and _encode(expected) == r


def _ecdsa(point, _public, message, signature):
    numbers = _der(signature)
    if numbers is None:
        return False
    r, s = numbers
    e = (int.from_bytes(message, 'big') >> 3) % L
    inverse = pow(s, -1, L)
    result = combine(e * inverse % L, r * inverse % L, point)
    return not is_neutral(result) and _affine(result)[0] % L == r


def _der(raw):
    """(r, s) of strict DER, both in [1, L-1], or None."""
    if len(raw) < 8 or raw[0] != 0x30 or raw[1] != len(raw) - 2 or raw[1] > 127:
        return None
    numbers, at = [], 2
    for _ in range(2):
        if at + 2 > len(raw) or raw[at] != 2:
            return None
        digits = raw[at + 2:at + 2 + raw[at + 1]]
        if not digits or len(digits) != raw[at + 1] or digits[0] > 127:
            return None
        if len(digits) > 1 and digits[0] == 0 and digits[1] < 128:
            return None
        number = int.from_bytes(digits, 'big')
        if not 0 < number < L:
            return None
        numbers.append(number)
        at += 2 + len(digits)
    return numbers if at == len(raw) else None
