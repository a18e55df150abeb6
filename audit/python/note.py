"""Signed notes, verifier keys, checkpoints and receipts: c2sp.org/signed-note, tlog-checkpoint, tlog-proof@v1."""

import base64
import binascii
from dataclasses import dataclass

import curve
from document import number
from tree import leaf_hash, root_from_path, sha256

# As in Go's implementation of the format.
NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX = 1_000_000, 100
_ED25519 = b'\x01'
_DASH = '\u2014 '


class NoteError(Exception):
    """What is wrong with a note, a key or a receipt: (field, expected, actual)."""

    def __init__(self, field, expected, actual=None):
        super().__init__(field, expected, actual)
        self.field, self.expected, self.actual = field, expected, actual


def decode(text):
    """The bytes of standard base64 in its only form, or None."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if encode(raw) == text else None


def encode(raw):
    return base64.b64encode(raw).decode()


def _is_name(name):
    """What a key may be called: not empty, no space, plus sign or control character, and text that has UTF-8."""
    return name != '' and not any(letter.isspace() or letter == '+' or letter < ' ' or '\ud800' <= letter <= '\udfff'
                                  for letter in name)


@dataclass(frozen=True)
class VerifierKey:
    """`name+hash+base64(01 ‖ key)`; equal when all three are."""
    name: str
    id: bytes
    public: bytes

    @staticmethod
    def parse(text):
        """The key of its text, or None."""
        parts = text.split('+', 2) if isinstance(text, str) else []
        raw = decode(parts[2]) if len(parts) == 3 else None
        if raw is None or len(raw) != 33 or raw[:1] != _ED25519 or not _is_name(parts[0]):
            return None
        key = VerifierKey(parts[0], sha256(parts[0].encode() + b'\n' + raw)[:4], raw[1:])
        return key if key.id.hex() == parts[1] else None

    def __str__(self):
        return f'{self.name}+{self.id.hex()}+{encode(_ED25519 + self.public)}'

    def signed(self, text, line):
        """True if the signature line (no newline) is this key's, on this text."""
        parts = signature_line(line)
        return (parts is not None and parts[:2] == (self.name, self.id)
                and curve.verify('eddsa-ed25519', self.public, text.encode(), parts[2]))


def signature_line(line):
    """(name, id, signature) of a signature line, or None."""
    if not isinstance(line, str) or not line.startswith(_DASH) or any(letter < ' ' for letter in line):
        return None
    name, mark, text = line[len(_DASH):].partition(' ')
    raw = decode(text) if mark else None
    return (name, raw[:4], raw[4:]) if raw and len(raw) > 4 and _is_name(name) else None


class Checkpoint:
    """A checkpoint read from its note, its signatures not yet asked for."""

    def __init__(self, raw):
        try:
            note = raw.decode('utf-8')
        except UnicodeDecodeError:
            raise NoteError('note', 'UTF-8') from None
        if len(raw) > NOTE_BYTES_MAX or any(letter < ' ' and letter != '\n' for letter in note):
            raise NoteError('note', f'at most {NOTE_BYTES_MAX} bytes without control characters')
        text, mark, lines = note.rpartition('\n\n')
        self.text, self.lines = text + '\n', lines.split('\n')
        if not mark or self.lines.pop() != '' or not self.lines or not all(map(signature_line, self.lines)):
            raise NoteError('note', 'a text, an empty line, and signature lines')
        if len(self.lines) > NOTE_SIGNATURES_MAX:
            raise NoteError('note', f'at most {NOTE_SIGNATURES_MAX} signatures')
        parts = text.split('\n')
        if len(parts) < 3 or '' in parts:
            raise NoteError('note', 'origin, size and root')
        self.origin, self.size, self.root = parts[0], number(parts[1]), decode(parts[2])
        if self.size is None:
            raise NoteError('size', 'a decimal number', parts[1][:30])
        if self.root is None or len(self.root) != 32:
            raise NoteError('root', 'base64 of 32 bytes', parts[2][:60])

    def names(self, key):
        """True if a line claims to be of this key."""
        return any(signature_line(line)[:2] == (key.name, key.id) for line in self.lines)

    def check(self, domain, key):
        """NoteError unless it is of this origin and every line of this key, at least one, is a good signature."""
        if self.origin != domain:
            raise NoteError('origin', domain, self.origin)
        self._check_signed([key])

    def check_by(self, keys):
        """NoteError unless it is signed by one of these keys, whose name is its origin, and by no line of theirs falsely."""
        name = self._check_signed(keys)
        if self.origin != name:
            raise NoteError('origin', name, self.origin)

    def _check_signed(self, keys):
        """The name on the first line of these keys."""
        names = {(key.name, key.id) for key in keys}
        own = [line for line in self.lines if signature_line(line)[:2] in names]
        if not own or not all(any(key.signed(self.text, line) for key in keys) for line in own):
            raise NoteError('signature', 'a signature of ' + ' or '.join(map(str, keys)))
        return signature_line(own[0])[0]


def checkpoint_text(origin, size, root):
    """The text of a checkpoint, as it is signed."""
    return f'{origin}\n{size}\n{encode(root)}\n'


class Receipt:
    """A `.tlog-proof` whose extra data is the record itself."""

    def __init__(self, raw):
        head, mark, note = raw.partition(b'\n\n')
        try:
            lines = head.decode('ascii').split('\n')
        except UnicodeDecodeError:
            raise NoteError('receipt', 'ASCII lines before the checkpoint') from None
        if not mark or len(lines) < 3 or lines[0] != 'c2sp.org/tlog-proof@v1':
            raise NoteError('receipt', 'c2sp.org/tlog-proof@v1')
        extra, place = lines[1].removeprefix('extra '), lines[2].removeprefix('index ')
        self.leaf, self.index = decode(extra), number(place)
        if self.leaf is None or extra == lines[1] or self.index is None or place == lines[2]:
            raise NoteError('receipt', 'lines extra and index')
        self.path = [decode(line) for line in lines[3:]]
        if not all(node is not None and len(node) == 32 for node in self.path):
            raise NoteError('receipt', 'a path of base64 hashes')
        self.checkpoint = Checkpoint(note)

    def proves(self):
        """True if the path leads from the record to the root of the checkpoint."""
        return root_from_path(leaf_hash(sha256, self.leaf), self.index, self.checkpoint.size,
                              self.path) == self.checkpoint.root
