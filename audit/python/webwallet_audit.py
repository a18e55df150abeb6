#!/usr/bin/env python3
"""webwallet-audit in Python: a second verifier of a WebWallet log, written from the design alone.

Exit code 0: accepted; 1: rejected, the findings on stdout; 2: could not run (usage, missing path, network).
"""

import argparse
import json
import os
import re
import sys
import time

from audit import Audit, finding
from clearing import RecordData
from document import Fault, Unreadable, hash_faults, read_leaf
from log import SourceError, read_checkpoint, source
from note import NoteError, Receipt, VerifierKey


_MAX_AGE_S = 2**32 - 1
# Of a receipt or a checkpoint, with some to spare.
_FILE_BYTES_MAX = 2 << 20
# Characters that move a cursor, end a line or turn the direction of text round.
_UNSEEN = re.compile('[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]')


def main(arguments):
    if arguments[:1] == ['receipt']:
        return check_receipt(_receipt_options(arguments[1:]))
    return check_log(_log_options(arguments))


def _verifier_key(text):
    key = VerifierKey.parse(text)
    if key is None:
        raise argparse.ArgumentTypeError('a verifier key is name+hash+base64')
    return key


def _domain(text):
    if text == '' or any('\ud800' <= letter <= '\udfff' for letter in text):
        raise argparse.ArgumentTypeError('a domain is a text that is not empty')
    return text


def _seconds(text):
    if not re.fullmatch('[0-9]+', text) or len(text.lstrip('0')) > 10 or int(text) > _MAX_AGE_S:
        raise argparse.ArgumentTypeError(f'a number from 0 to {_MAX_AGE_S}')
    return int(text)


def _log_options(arguments):
    parser = argparse.ArgumentParser(prog='webwallet_audit.py', description=__doc__.split('\n')[0], allow_abbrev=False,
                                     epilog='webwallet_audit.py receipt FILE --key VKEY checks one receipt.')
    parser.add_argument('place', metavar='URL|DIR', help='where checkpoint and tile/ are')
    parser.add_argument('--key', required=True, type=_verifier_key, metavar='VKEY', help='verifier key of the log')
    parser.add_argument('--domain', type=_domain, help='origin of the log (default: the name of the key)')
    parser.add_argument('--from', dest='known', metavar='FILE', help='an older checkpoint that the log must extend')
    parser.add_argument('--structure', action='store_true', help='files, chain and numbering only')
    parser.add_argument('--max-age', type=_seconds, metavar='SECONDS', help='the last block must not be older')
    parser.add_argument('--json', action='store_true', help='JSON Lines')
    return parser.parse_args(arguments)


def _receipt_options(arguments):
    parser = argparse.ArgumentParser(prog='webwallet_audit.py receipt', description='Checks one .tlog-proof file.',
                                     allow_abbrev=False)
    parser.add_argument('file')
    parser.add_argument('--key', dest='keys', action='append', required=True, type=_verifier_key, metavar='VKEY',
                        help='verifier key of its time; several may be given')
    parser.add_argument('--json', action='store_true', help='JSON Lines')
    return parser.parse_args(arguments)


def check_log(options):
    """Audits a whole log and prints what was found."""
    place = source(options.place)
    known = _read(options.known) if options.known else None
    audit = Audit(options.key, options.domain or options.key.name, time.time_ns() // 1_000_000, options.structure,
                  None if options.max_age is None else options.max_age * 1000)
    findings, size = audit.run(place, read_checkpoint(place), known)
    if audit.unlisted():
        _write(sys.stderr, [f'{audit.unlisted()} more findings are not listed'])
    if audit.failure:
        _write(sys.stderr, [f'{audit.unread()} leaves were not read: {audit.failure}'])
    elif audit.unread():
        _write(sys.stderr, [f'so much is missing or wrong that {audit.unread()} leaves were not read'])
    return _report(findings, {'size': str(size), 'blocks': str(audit.blocks), 'records': str(audit.records),
                              'head': audit.head}, options.json)


def check_receipt(options):
    """Checks that a receipt's record is in the log its checkpoint was signed for."""
    result = {'number': None, 'hash': None, 'time': None, 'index': None, 'size': None}
    faults = []
    raw = _read(options.file)
    if raw.lstrip().startswith(b'{'):
        raise SourceError(f'{options.file} is a receipt in JSON; only the text form, .tlog-proof, is read here')
    try:
        if len(raw) > _FILE_BYTES_MAX:
            raise NoteError('receipt', f'at most {_FILE_BYTES_MAX} bytes')
        receipt = Receipt(raw)
        checkpoint = receipt.checkpoint
        result.update(index=str(receipt.index), size=str(checkpoint.size))
        checkpoint.check_by(options.keys)
        if not receipt.proves():
            faults.append(Fault('A-TILE', 'path', 'a path from the record to the root'))
        document = read_leaf(receipt.leaf)
        faults += hash_faults(document, '', ['sha3-256'])
        data = document['data']
        if data['kind'] != 'record':
            faults.append(Fault('A-ENCODING', 'data.kind', 'record', data['kind']))
        if data.get('domain') != checkpoint.origin:
            faults.append(Fault('A-DOMAIN', 'data.domain', checkpoint.origin, str(data.get('domain'))))
        result.update(number=data.get('number'), time=data.get('time'), hash=document['hash']['value'])
        if data['kind'] == 'record':
            RecordData(document)
    except NoteError as error:
        faults.append(Fault('A-NOTE', error.field, error.expected, error.actual))
    except Unreadable as error:
        faults.append(error.fault)
    return _report([finding(fault, leaf=result['index']) for fault in faults], result, options.json)


def _read(path):
    """The bytes of a file; of what is longer than it can be, no more than shows that."""
    try:
        with open(path, 'rb') as file:
            return file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SourceError(str(error)) from None


def _report(findings, result, as_json):
    verdict = 'rejected' if findings else 'accepted'
    if as_json:
        lines = [json.dumps(line, ensure_ascii=False) for line in [*findings, {'result': verdict, **result}]]
    else:
        lines = ['  '.join(f'{key} {value}' for key, value in found.items() if value is not None) for found in findings]
        lines.append(verdict + ': ' + ', '.join(f'{key} {value}' for key, value in result.items()))
    _write(sys.stdout, lines)
    return 1 if findings else 0


def _write(stream, lines):
    """Writes the lines if that is possible: the verdict is the exit status, whether anybody reads what is said or not."""
    try:
        for line in lines:
            print(_shown(line), file=stream)
        stream.flush()
    except OSError as error:
        # What is left unwritten must not fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is not sys.stderr and not isinstance(error, BrokenPipeError):
            _write(sys.stderr, [f'webwallet_audit: the answer cannot be written: {error}'])


def _shown(text):
    """The text as JSON escapes it: what strangers write must not write on the terminal of who reads it."""
    return _UNSEEN.sub(lambda found: f'\\u{ord(found.group()):04x}', text)


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except SourceError as error:
        _write(sys.stderr, [f'webwallet_audit: {error}'])
        sys.exit(2)
