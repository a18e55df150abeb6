"""Merkle trees: the shape of RFC 6962 over SHA-256 (outside) or SHA3-256 (inside), and the sparse tree of state."""

import hashlib

EMPTY_SIDE = bytes(32)


def sha256(raw):
    return hashlib.sha256(raw).digest()


def sha3(raw):
    return hashlib.sha3_256(raw).digest()


class Range:
    """A tree that only grows: the roots of its complete subtrees, largest first."""

    def __init__(self, digest):
        self.digest, self.size, self.roots = digest, 0, []

    def push(self, leaf):
        """Appends the hash of one more leaf."""
        self.size += 1
        size = self.size
        while size % 2 == 0:
            leaf = self.digest(b'\x01' + self.roots.pop() + leaf)
            size //= 2
        self.roots.append(leaf)

    def root(self):
        if not self.roots:
            return self.digest(b'')
        result = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            result = self.digest(b'\x01' + left + result)
        return result


def leaf_hash(digest, raw):
    return digest(b'\x00' + raw)


def root(digest, hashes):
    """The root over the hashes of leaves."""
    tree = Range(digest)
    for leaf in hashes:
        tree.push(leaf)
    return tree.root()


def root_from_path(leaf, index, size, path):
    """The SHA-256 root an inclusion path leads to (RFC 9162, 2.1.3.2), or None if the path has a wrong length."""
    if not 0 <= index < size:
        return None
    last, result = size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if index % 2 or index == last:
            result = sha256(b'\x01' + sibling + result)
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            result = sha256(b'\x01' + result + sibling)
        index, last = index // 2, last // 2
    return result if last == 0 else None


class _Leaf:
    __slots__ = ('key', 'hash')

    def __init__(self, key, value_hash):
        self.key, self.hash = key, sha3(b'\x00' + key + value_hash)


class _Fork:
    __slots__ = ('sides', 'hash')

    def __init__(self):
        self.sides, self.hash = [None, None], None


class SparseTree:
    """Keys of 256 bits, most significant first. A subtree with one leaf is that leaf; with more it is a fork,
    even if one side is empty."""

    def __init__(self):
        self._top = None

    def set(self, key, value_hash):
        self._top = self._put(self._top, _Leaf(key, value_hash), 0)

    def remove(self, key):
        """Takes the leaf of this key away, which is there."""
        self._top = self._without(self._top, key, 0)

    def root(self):
        return self._hash(self._top)

    def _without(self, node, key, depth):
        if isinstance(node, _Leaf):
            return None
        side = _bit(key, depth)
        node.sides[side], node.hash = self._without(node.sides[side], key, depth + 1), None
        # One leaf alone, or nothing, stands for itself; a fork below holds two leaves or more.
        if any(isinstance(below, _Fork) for below in node.sides) or None not in node.sides:
            return node
        return node.sides[0] or node.sides[1]

    def _put(self, node, leaf, depth):
        if node is None or isinstance(node, _Leaf) and node.key == leaf.key:
            return leaf
        if isinstance(node, _Leaf):
            fork = _Fork()
            fork.sides[_bit(node.key, depth)] = node
            node = fork
        side = _bit(leaf.key, depth)
        node.sides[side] = self._put(node.sides[side], leaf, depth + 1)
        node.hash = None
        return node

    def _hash(self, node):
        if node is None:
            return EMPTY_SIDE
        if node.hash is None:
            node.hash = sha3(b'\x01' + self._hash(node.sides[0]) + self._hash(node.sides[1]))
        return node.hash


def _bit(key, depth):
    return key[depth >> 3] >> (7 - depth % 8) & 1
