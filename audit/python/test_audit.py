"""Whole logs: an honest one is accepted, and each lie is found where it was told."""

import base64
import contextlib
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
from functools import partial

import webwallet_audit
from audit import Audit, finding
from document import Fault, Unreadable
from forge import DOMAIN, EXPIRY, Forge, Shared, Signer, document, iou, puzzle
from iou import Iou
from json_profile import canonical
from log import WIDTH, SourceError, _is_here
from note import VerifierKey, checkpoint_text, decode, encode
from tree import Range, leaf_hash, root, sha256

ALICE, BOB, CAROL = Signer('alice'), Signer('bob'), Signer('carol')
SECOND = '2026-01-01T00:00:01.000Z'


def setting(field, value):
    return lambda data: data.update({field: value})


class LogTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)

    def run_audit(self, *arguments):
        """(exit code, findings, last line) of the command."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = webwallet_audit.main([*arguments, '--json'])
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        return code, lines[:-1], lines[-1]

    def audit(self, forge, *arguments, key=None):
        forge.write(self.directory)
        return self.run_audit(self.directory, '--key', str(key or forge.signer.key), *arguments)

    def accepted(self, forge, *arguments, **options):
        code, findings, last = self.audit(forge, *arguments, **options)
        self.assertEqual((code, findings), (0, []))
        return last

    def command(self, *arguments):
        """(exit code, stdout, stderr) of a process of its own."""
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'webwallet_audit.py')
        done = subprocess.run([sys.executable, '-B', script, *arguments], capture_output=True, timeout=60)
        self.assertNotIn(b'Traceback', done.stderr)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def first(self, forge, *arguments, **options):
        """(code, block, number) of the first finding: what two verifiers must agree on."""
        code, findings, last = self.audit(forge, *arguments, **options)
        self.assertEqual((code, last['result']), (1, 'rejected'))
        return findings[0]['code'], findings[0]['block'], findings[0]['number']

    def path(self, name):
        return os.path.join(self.directory, *name.split('/'))

    def flip(self, name, at):
        with open(self.path(name), 'r+b') as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))


def history(**changes):
    """Three blocks, of which the second and third hold records; `changes` are told by name."""
    forge = Forge()
    forge.record(iou(ALICE, BOB, '10'), time=SECOND, change=changes.get('first'))
    forge.record(iou(ALICE, CAROL, '0', credit='-5.50'), iou(BOB, CAROL, '4.25', ALICE), change=changes.get('second'))
    forge.block(change=changes.get('block'))
    forge.record(iou(CAROL, BOB, '9.75', ALICE), change=changes.get('third'))
    forge.record(iou(BOB, ALICE, '1', ALICE))
    forge.block()
    return forge


def head(signer, size, root_, domain=DOMAIN):
    """A checkpoint as this key signs it, whatever the log is."""
    text = checkpoint_text(domain, size, root_)
    return f'{text}\n\u2014 {domain} {encode(signer.key.id + signer.sign(text.encode()))}\n'.encode()


def of_leaves(leaves, signer):
    """A log of these leaves, whatever they are, whose head this key signs."""
    forge = Forge()
    forge.leaves, forge.log = [], Range(sha256)
    for leaf in leaves:
        forge.raw(leaf)
    forge.signer, forge.checkpoints = signer, [head(signer, len(leaves), forge.log.root())]
    return forge


def misnamed(leaf):
    """The same document under a name that is not its own."""
    made = json.loads(leaf)
    made['hash']['value'] = '0' * 64
    return canonical(made)


LOCK_END = '2026-01-01T00:01:00.000Z'


def with_puzzle(made, signers):
    """The IOU with signatures of these for BOB's and CAROL's puzzle as well."""
    board = Shared(puzzle(2, (BOB, 1), (CAROL, 1)))
    made['meta']['scripts'] = [board.puzzle]
    made['meta']['signatures'] += [board.signature(signer, made) for signer in signers]
    return made


def locked():
    """A log in whose open block 2 record 3 is the last, and the pointers of ALICE's locks for BOB."""
    forge, board = Forge(), puzzle(2, (BOB, 1), (CAROL, 1))
    times = {'expiry': LOCK_END}
    lockers = {'plain': {'timers': times}, 'used': {'timers': times},
               'late': {'timers': {'active': '2026-01-01T00:00:30.000Z', **times}},
               'hash': {'timers': times, 'puzzle': sha256(b'open sesame').hex()},
               'board': {'timers': times, 'script': board['hash']['value']}}
    forge.record(*[iou(ALICE, BOB, '5', locker=locker) for locker in lockers.values()], time=SECOND)
    made = list(forge.state._locks)
    locks = dict(zip(lockers, made), account=made[0].split('::')[0] + '::0')
    forge.block()
    forge.record(iou(ALICE, CAROL, '1'))
    forge.record(iou(BOB, CAROL, '1', ALICE, solver={'output': locks['used']}))
    return forge, locks


def long_history(leaves):
    """So many leaves that upper tiles are needed; one IOU again and again, so for --structure only."""
    forge, once = Forge(), iou(ALICE, BOB, '1')
    while len(forge.leaves) < leaves - 1:
        forge.record(once)
    forge.block()
    return forge


class Honest(LogTest):
    """An honest server called a liar loses its users for nothing."""

    def test_a_history_with_credit_rotation_and_a_new_day(self):
        """Whoever noted the log's first key could not audit it once its keys have changed, or any key would do."""
        forge = history()
        forge.rotate(Signer('log 2'))
        forge.record(iou(ALICE, BOB, '1'))
        forge.block()
        forge.time = '2026-01-02T00:00:00.000Z'
        forge.stack()
        forge.block()
        forge.block(time='2026-01-02T00:10:00.000Z')
        last = self.accepted(forge)
        self.assertEqual(last, {'result': 'accepted', 'size': str(len(forge.leaves)), 'blocks': '6', 'records': '5',
                                'head': forge.hash})
        # The key of the first days still opens the log; a key of nobody does not.
        self.accepted(forge, key=Signer('log').key)
        self.assertEqual(self.first(forge, key=Signer('stranger').key), ('A-NOTE', None, None))

    def test_more_than_one_tile(self):
        """A log would be called false because it has grown, or what is wrong in its older files be missed."""
        forge = long_history(600)
        self.accepted(forge, '--structure')
        # Older partial files may lie beside; they are checked too.
        os.makedirs(self.path('tile/0/000.p'))
        shutil.copy(self.path('tile/0/000'), self.path('tile/0/000.p/3'))
        with open(self.path('tile/0/000.p/3'), 'r+b') as file:
            file.truncate(96)
        arguments = self.directory, '--key', str(forge.signer.key), '--structure'
        self.assertEqual(self.run_audit(*arguments)[0], 0)
        self.flip('tile/0/000.p/3', 40)
        _, findings, _ = self.run_audit(*arguments)
        self.assertEqual([(f['code'], f['leaf']) for f in findings], [('A-TILE', '1')])

    def test_a_circle_of_debts_between_strangers(self):
        """Debtors in a circle, of whom nobody holds anything, would be told that they paid what they did not have."""
        forge = Forge()
        forge.record(iou(ALICE, BOB, '5', Signer('dave')), iou(BOB, CAROL, '5', Signer('dave')),
                     iou(CAROL, ALICE, '5', Signer('dave')), time=SECOND)
        forge.block()
        self.accepted(forge)

    def test_locks_are_used_by_either_in_their_time(self):
        """Whoever takes what was locked for them, or their own back in time, would be told that it was not theirs."""
        forge, locks = locked()
        forge.record(iou(BOB, CAROL, '0', ALICE, solver={'output': locks['plain']}),
                     iou(BOB, CAROL, '2', ALICE, solver={'output': locks['hash'], 'hashee': 'open sesame'}))
        forge.record(with_puzzle(iou(BOB, CAROL, '0', ALICE, solver={'output': locks['board']}), [BOB, CAROL]))
        forge.block()
        # Back to its source, and locked again at once.
        forge.record(iou(ALICE, BOB, '1', solver={'output': locks['late']}, locker={'timers': {'expiry': EXPIRY}}), time=LOCK_END)
        forge.block()
        self.accepted(forge)

    def test_what_several_hold_together(self):
        """Whoever pays with others from an address that they share would be told that too few have signed."""
        board, forge = Shared(puzzle(3, (ALICE, 2), (BOB, 1), (CAROL, 1))), history()
        forge.record(iou(ALICE, board, '5'))
        forge.record(board.iou([CAROL, ALICE], BOB, '2', ALICE), board.iou([ALICE, BOB, CAROL], BOB, '7', credit='-1'))
        forge.block()
        self.accepted(forge)

    def test_from_an_older_checkpoint(self):
        """Whoever kept a checkpoint would not learn that the log was cut or rewritten since."""
        forge = history()
        known = self.path('known')
        with open(known, 'wb') as file:
            file.write(forge.checkpoints[1])
        self.accepted(forge, '--from', known)
        other = history(first=setting('number', '1'))
        self.assertEqual(self.first(other, '--from', known), ('A-REWRITE', None, None))
        # What was cut off stays cut off, whatever else was done to the rest.
        with open(known, 'wb') as file:
            file.write(forge.checkpoints[2])
        cut = Forge()
        self.assertEqual(self.first(cut, '--from', known), ('A-REWRITE', None, None))
        self.flip('tile/0/000.p/2', 40)
        _, findings, _ = self.run_audit(self.directory, '--key', str(cut.signer.key), '--from', known)
        self.assertEqual([(f['code'], f['leaf']) for f in findings][:2], [('A-REWRITE', None), ('A-TILE', '1')])

    def test_an_older_checkpoint_that_its_key_did_not_sign(self):
        """Damage may hide which key was in force then, but never that the head is badly signed."""
        forge, known = history(), self.path('known')

        def badly_signed(checkpoint):
            text, line = checkpoint.decode().split('\n\n')
            name, signature = line.rsplit(' ', 1)
            raw = decode(signature.strip())
            return f'{text}\n\n{name} {encode(raw[:-1] + bytes([raw[-1] ^ 1]))}\n'.encode()

        stranger = Signer('stranger').line(checkpoint_text(DOMAIN, 8, forge.log.root()))
        unnamed = f'{checkpoint_text(DOMAIN, 8, forge.log.root())}\n{stranger}\n'.encode()
        good, bad = forge.checkpoints[-1], badly_signed(forge.checkpoints[-1])
        # Whatever is wrong with a tile over leaves that were read hides nothing.
        rows = [
            (good, badly_signed(forge.checkpoints[1]), 'A-NOTE', 'A-TILE'),
            (good, bad, 'A-NOTE', 'A-TILE'),
            (good, unnamed, 'A-NOTE', 'A-TILE'),
            (bad, good, 'A-NOTE', 'A-NOTE'),
            (unnamed, good, 'A-NOTE', 'A-TILE'),
        ]
        for head, older, whole, damaged in rows:
            with self.subTest(f'{head} {older}'):
                forge.checkpoints.append(head)
                with open(known, 'wb') as file:
                    file.write(older)
                self.assertEqual(self.first(forge, '--from', known)[0], whole)
                for file, code in (('tile/0/000.p/8', whole), ('tile/entries/000.p/8', damaged)):
                    self.flip(file, 40)
                    _, findings, _ = self.run_audit(self.directory, '--key', str(forge.signer.key), '--from', known)
                    self.assertEqual(findings[0]['code'], code)

    def test_signatures_before_the_older_checkpoint_are_not_asked_again(self):
        """Whoever comes again would verify what was verified, or take a new signature that is forged."""
        forged = iou(ALICE, BOB, '1')
        forged['meta']['signatures'] = iou(ALICE, BOB, '1')['meta']['signatures']
        forge = Forge()
        forge.record(forged, time=SECOND)
        forge.block()
        forge.record(iou(ALICE, BOB, '1'))
        forge.block()
        known = self.path('known')
        with open(known, 'wb') as file:
            file.write(forge.checkpoints[1])
        self.accepted(forge, '--from', known)
        with open(known, 'wb') as file:
            file.write(forge.checkpoints[0])
        self.assertEqual(self.first(forge, '--from', known), ('A-SIG', '1', '1'))

    def test_who_signs_is_asked_before_the_older_checkpoint_too(self):
        """Behind a checkpoint once seen a host could let somebody pay in another's name."""
        board = Shared(puzzle(3, (ALICE, 2), (BOB, 1), (CAROL, 1)))

        def signed(*more, made=None, **fields):
            made = made or iou(ALICE, BOB, '1')
            made['meta']['signatures'] += [{**one, **fields} for one in more]
            return made

        own, foreign = (iou(who, CAROL, '1')['meta']['signatures'][0] for who in (ALICE, BOB))
        unsigned = iou(ALICE, BOB, '1')
        unsigned['meta']['signatures'] = []
        rows = [
            (True, signed(foreign)),
            (True, signed(own)),
            (True, board.iou([ALICE], BOB, '1')),
            (True, board.iou([ALICE, BOB, Signer('dave')], BOB, '1')),
            (False, unsigned),
            (False, signed(foreign, foreign, linker='md5')),
            (False, signed(foreign, scheme='rsa')),
            (False, signed(foreign, signer='nobody')),
            (False, signed(foreign, public=ALICE.public.hex())),
            (False, signed(foreign, script='0' * 64)),
            (False, signed(foreign, made=board.iou([ALICE, BOB], CAROL, '1'), script=board.puzzle['hash']['value'])),
        ]
        known = self.path('known')
        for passes, made in rows:
            with self.subTest(f'{passes} {made["meta"]}'):
                forge = Forge()
                forge.record(made, time=SECOND)
                forge.block()
                self.assertEqual(self.first(forge), ('A-SIG', '1', '1'))
                with open(known, 'wb') as file:
                    file.write(forge.checkpoints[1])
                if passes:
                    self.accepted(forge, '--from', known)
                else:
                    self.assertEqual(self.first(forge, '--from', known), ('A-SIG', '1', '1'))

    def test_by_url(self):
        """Whoever audits a log from afar would hear another verdict than whoever has its files."""
        forge = history()
        forge.write(self.directory)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        with http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=self.directory)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            arguments = f'http://127.0.0.1:{server.server_port}/', '--key', str(forge.signer.key)
            self.assertEqual(self.run_audit(*arguments)[:2], (0, []))
            os.remove(self.path('tile/0/000.p/8'))
            self.assertEqual(self.run_audit(*arguments)[1][0]['code'], 'A-TILE')
            server.shutdown()

    def test_by_url_with_a_password(self):
        """A log behind a login could be audited by one of the two auditors alone."""
        forge = history()
        forge.write(self.directory)
        login = 'Basic ' + base64.b64encode(b'alice:s:ecret@').decode()

        class Guarded(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                if self.headers['Authorization'] == login:
                    return super().do_GET()
                self.send_error(401)
        with http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Guarded, directory=self.directory)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            key = '--key', str(forge.signer.key)
            place = f'127.0.0.1:{server.server_port}/'
            self.assertEqual(self.run_audit(f'http://alice:s:ecret%40@{place}', *key)[:2], (0, []))
            with self.assertRaises(SourceError):
                self.run_audit(f'http://{place}', *key)
            server.shutdown()

    def test_a_server_that_cannot_answer_says_nothing_about_its_log(self):
        """An honest log behind a bad line would be called false."""
        forge = history()
        forge.write(self.directory)

        def file(path, status=b'200 OK', cut=0):
            try:
                with open(self.path(path.strip('/')), 'rb') as file:
                    raw = file.read()
            except OSError:
                return b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
            return b'HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' % (status, len(raw)) + raw[:len(raw) - cut]

        chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nff\r\nabc'
        rows = [
            (0, file),
            (2, lambda path: b'nonsense\r\n\r\n'),
            (2, lambda path: b''),
            (2, lambda path: file(path, cut=5 if 'entries' in path else 0)),
            (2, lambda path: chunked if 'entries' in path else file(path)),
            (2, lambda path: file(path, status=b'206 Partial Content')),
            (2, lambda path: file(path, status=b'403 Forbidden')),
            (2, lambda path: b'HTTP/1.1 200 OK\r\n' + b'a: b\r\n' * 200 + b'\r\n'),
            (2, lambda path: b'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc'),
            (2, lambda path: b'HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n'),
        ]
        for code, answer in rows:
            patched = unittest.mock.patch('log._PAUSE_S', 0)
            with self.subTest(f'{code} {answer("/checkpoint")[:60]}'), patched, _Server(answer) as url:
                self.assertEqual(self.command(url, '--key', str(forge.signer.key))[0], code)

    def test_a_server_is_reached_as_by_the_other_auditor(self):
        """Two auditors of which one is stopped by a proxy or by one lost answer say nothing twice."""
        forge, asked = history(), []
        forge.write(self.directory)

        def lossy(path):
            asked.append(path)
            if asked.count(path) < 3:
                return b''
            try:
                with open(self.path(path.strip('/')), 'rb') as file:
                    raw = file.read()
            except OSError:
                return b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
            return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' % len(raw) + raw

        proxy = unittest.mock.patch.dict(os.environ, http_proxy='http://127.0.0.1:1', no_proxy='')
        with proxy, unittest.mock.patch('log._PAUSE_S', 0), _Server(lossy) as url:
            arguments = url.replace('http', 'HTTP'), '--key', str(forge.signer.key)
            self.assertEqual(self.run_audit(*arguments)[:2], (0, []))
        self.assertEqual(asked.count('/checkpoint'), 3)

    def test_which_url_leads_to_this_machine(self):
        """What is said to a server of this machine is not for a proxy, and all else is."""
        for url, expected in (
                ('http://localhost:8080', True), ('HTTPS://LOCALHOST', True), ('http://127.9.9.9/path', True),
                ('http://[::1]:8080', True), ('http://[::ffff:127.0.0.1]', True), ('http://127.0.0.1@example.net', False),
                ('http://localhost.example.net', False), ('http://10.0.0.1:8080', False), ('http://[', False)):
            with self.subTest(url):
                self.assertEqual(_is_here(url), expected)

    def test_an_answer_that_never_ends_is_none(self):
        """A server that sends a byte now and then would hold an auditor for ever."""
        forge, slow = history(), threading.Event()
        self.addCleanup(slow.set)

        def answer(_path):
            slow.wait()
            return b''
        began = time.monotonic()
        with _Server(answer) as url, unittest.mock.patch.multiple('log', _ANSWER_S=0.2, _PAUSE_S=0):
            with self.assertRaises(webwallet_audit.SourceError):
                self.run_audit(url, '--key', str(forge.signer.key))
        # Three tries; what ends each of them without that is the socket's own limit of 30 s.
        self.assertLess(time.monotonic() - began, 30)

    def test_a_hundred_records_take_less_than_three_seconds(self):
        """An audit that takes days is one that nobody makes."""
        forge = Forge()
        for number in range(100):
            forge.record(iou(Signer(f'issuer {number}'), BOB, '1'), time=SECOND)
        forge.block()
        started = time.process_time()
        self.accepted(forge)
        self.assertLess(time.process_time() - started, 3)


class _Server:
    """Answers every request of the context with the bytes of `answer(path)`."""

    def __init__(self, answer):
        self._answer, self._socket = answer, socket.create_server(('127.0.0.1', 0))

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return f'http://127.0.0.1:{self._socket.getsockname()[1]}'

    def __exit__(self, *_):
        self._socket.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, connection.makefile('rb') as request:
                    path = request.readline().split(b' ')[1].decode()
                    while request.readline().strip():
                        pass
                    connection.sendall(self._answer(path))


class Lies(LogTest):
    """Each row is a way to rob somebody that would otherwise go unseen."""

    def record_lie(self, change, *ious, code):
        """A lie in one more record after `history`, sealed as if it were true."""
        forge = history()
        forge.record(*(ious or [iou(ALICE, BOB, '1')]), change=change)
        forge.block()
        self.assertEqual(self.first(forge), (code, '3', '5'))

    def test_in_records(self):
        """A host could write down a payment that its payer never signed, could not afford or had let expire."""
        output = {'address': BOB.address, 'counter': ALICE.address, 'sources': [],
                  'balance': {'max': 'Infinity', 'min': '0', 'net': '1'}}
        stranger = iou(ALICE, BOB, '1')
        stranger['meta']['signatures'][0]['string'] = iou(ALICE, BOB, '1')['meta']['signatures'][0]['string']
        unsigned, altered = iou(ALICE, BOB, '1'), iou(ALICE, BOB, '1')
        unsigned['meta']['signatures'] = []
        altered['data']['amount'] = '2'
        thief, repeated = (iou(ALICE, BOB, '1') for _ in range(2))
        thief['meta']['signatures'][0].update(
            public=BOB.public.hex(), string=BOB.sign(bytes.fromhex(thief['hash']['value'])).hex())
        repeated['meta']['signatures'] *= 2
        foreign = iou(ALICE, BOB, '1')
        foreign['meta']['signatures'] = iou(BOB, ALICE, '1')['meta']['signatures']
        rows = [
            ('A-ENCODING', setting('outputs', [{}]), []),
            ('A-ENCODING', setting('unknown', 'x'), []),
            ('A-ENCODING', setting('number', 6), []),
            ('A-HASH', None, [altered]),
            ('A-HASH', setting('inputs', [{'hash': '0' * 64}]), []),
            ('A-GAP', setting('number', '7'), []),
            ('A-GAP', setting('number', '4'), []),
            ('A-GAP', setting('number', '10000000000000000000'), []),
            ('A-ENCODING', setting('number', str(2**64)), []),
            ('A-ENCODING', lambda data: data['outputs'][0]['balance'].update(min='Infinity'), []),
            ('A-TIME', setting('time', '2026-01-01T00:00:00.999Z'), []),
            ('A-DOMAIN', setting('domain', 'other.test'), []),
            ('A-DOMAIN', None, [iou(ALICE, BOB, '1', domain='other.test')]),
            ('A-SIG', None, [stranger]),
            ('A-SIG', None, [unsigned]),
            ('A-SIG', None, [foreign]),
            ('A-SIG', None, [thief]),
            ('A-SIG', None, [repeated]),
            ('A-SIG', setting('outputs', []), [iou(ALICE, BOB, '1', target='nobody')]),
            ('A-EXPIRY', None, [iou(ALICE, BOB, '1', expiry='2026-01-01T00:00:00.999Z')]),
            ('A-EXPIRY', None, [iou(ALICE, BOB, '1', active='2026-01-01T00:00:01.001Z')]),
            ('A-EXPIRY', None, [iou(ALICE, BOB, '1', expiry='2036-01-09T00:00:01.001Z')]),
            ('A-GRANT', None, [iou(BOB, CAROL, '1', ALICE, credit='-1')]),
            ('A-GRANT', None, [iou(ALICE, BOB, '1', credit='1')]),
            ('A-LIMIT', None, [iou(CAROL, BOB, '0.01', ALICE)]),
            ('A-LIMIT', None, [iou(BOB, ALICE, '14.01', ALICE)]),
            ('A-LIMIT', setting('outputs', []), [iou(ALICE, BOB, '9' * 60)]),
            ('A-ENCODING', None, [iou(ALICE, BOB, '9' * 60)]),
            ('A-OUTPUT', setting('outputs', [output]), []),
            ('A-OUTPUT', setting('outputs', []), []),
        ]
        for code, change, ious in rows:
            with self.subTest(f'{code} {ious and ious[0]["data"]}'):
                self.record_lie(change, *ious, code=code)

    def test_in_locks(self):
        """Who takes what is locked for somebody else, too early, too late or twice would not be found out."""
        def lie(code, *ious, at=SECOND, **changes):
            forge, locks = locked()
            forge.record(*[one(locks) for one in ious], time=at, **changes)
            forge.block()
            with self.subTest(f'{code} {ious}'):
                self.assertEqual(self.first(forge), (code, '2', '4'))

        def uses(who, lock, target=CAROL, **solver):
            return lambda locks: iou(who, target, '0', ALICE, solver={'output': locks[lock], **solver})

        def signed(*signers):
            return lambda locks: with_puzzle(uses(BOB, 'board')(locks), signers)

        nowhere = {'nowhere': '0' * 64 + '::0'}
        lie('A-LOCK', lambda locks: uses(BOB, 'nowhere')(nowhere))
        lie('A-LOCK', lambda locks: uses(BOB, 'account')(locks))
        lie('A-LOCK', lambda locks: iou(BOB, CAROL, '0', solver={'output': locks['plain']}))
        lie('A-LOCK', uses(CAROL, 'plain', BOB))
        lie('A-LOCK', uses(ALICE, 'plain'))
        lie('A-LOCK', uses(BOB, 'plain'), at=LOCK_END)
        lie('A-LOCK', uses(BOB, 'late'))
        lie('A-LOCK', uses(BOB, 'hash'))
        lie('A-LOCK', uses(BOB, 'hash', hashee='another'))
        lie('A-LOCK', uses(BOB, 'board'))
        lie('A-LOCK', signed(CAROL))
        lie('A-DOUBLE', uses(BOB, 'plain'), uses(BOB, 'plain'))
        lie('A-DOUBLE', uses(BOB, 'used'))
        lie('A-LIMIT', lambda locks: iou(BOB, CAROL, '100', ALICE, solver={'output': locks['plain']}))
        lie('A-LIMIT', lambda locks: iou(BOB, CAROL, '100', ALICE, locker={'timers': {'expiry': LOCK_END}}))
        lie('A-OUTPUT', uses(BOB, 'plain'), change=lambda data: data['outputs'][0].update(sources=[]))
        lie('A-OUTPUT', lambda locks: iou(ALICE, BOB, '1', locker={'timers': {'expiry': LOCK_END}}),
            change=lambda data: data['outputs'][1].update(source=CAROL.address))

    def test_in_puzzles(self):
        """One of several who hold an address together could spend alone, and the host let them."""
        board = Shared(puzzle(3, (ALICE, 2), (BOB, 1), (CAROL, 1)))

        def lie(change, signers=(ALICE, BOB)):
            made = board.iou(signers, BOB, '1')
            change(made['meta'])
            return made

        def script(key, value):
            return lambda meta: meta.update(scripts=[{**board.puzzle, key: value}])

        def first(**fields):
            return lambda meta: meta['signatures'][0].update(fields)

        def renamed(meta):
            # The same puzzle under a second name: BOB signs for one address, twice.
            other = {**board.puzzle, 'hash': {**board.puzzle['hash'], 'types': 'sha256',
                                              'value': sha256(canonical(board.puzzle['data'])).hex()}}
            again = {**meta['signatures'][0], 'script': other['hash']['value']}
            meta.update(scripts=[board.puzzle, other], signatures=[meta['signatures'][0], again])

        data = board.puzzle['data']
        twice = data['identities'] + [{**data['identities'][0], 'public': ALICE.public.hex().upper()}]
        rows = [
            ('A-SIG', lie(lambda meta: None, [ALICE])),
            ('A-SIG', lie(lambda meta: None, [BOB, CAROL])),
            ('A-SIG', lie(lambda meta: None, [ALICE, BOB, Signer('dave')])),
            ('A-SIG', lie(lambda meta: None, [ALICE, BOB, ALICE])),
            ('A-SIG', lie(lambda meta: None, [])),
            ('A-SIG', lie(renamed, [BOB])),
            ('A-SIG', lie(first(script='0' * 64))),
            ('A-SIG', lie(first(signer=ALICE.address))),
            ('A-SIG', lie(first(string='00' * 64))),
            ('A-SIG', lie(lambda meta: meta['signatures'][0].pop('script'))),
            ('A-ENCODING', lie(first(script='00'))),
            ('A-ENCODING', lie(lambda meta: meta.update(scripts=[board.puzzle] * 2))),
            ('A-ENCODING', lie(script('data', {**data, 'identities': []}))),
            ('A-ENCODING', lie(script('data', {**data, 'identities': twice}))),
            ('A-ENCODING', lie(script('data', {**data, 'identities': data['identities'] * 6}))),
            ('A-ENCODING', lie(script('data', {**data, 'conditions': {'multisig': {'threshold': '1'}}}))),
            ('A-ENCODING', lie(script('data', {**data, 'conditions': {}}))),
            ('A-ENCODING', lie(lambda meta: meta.update(scripts=[]))),
            ('A-ENCODING', lie(script('meta', {'signatures': []}))),
            ('A-HASH', lie(script('data', {**data, 'conditions': {'multisig': {'threshold': 1}}}))),
        ]
        for code, made in rows:
            with self.subTest(f'{code} {made["meta"]}'):
                if code != 'A-ENCODING':
                    self.record_lie(None, made, code=code)
                    continue
                with self.assertRaises(Unreadable) as refused:
                    Iou(made, 'iou')
                self.assertEqual(refused.exception.fault.code, code)

    def test_an_iou_twice(self):
        """A payer would pay twice for having signed once."""
        once = iou(ALICE, BOB, '1')
        forge = history()
        forge.record(once)
        forge.put(json.loads(forge.leaves[-1])['data'] | {'number': '6', 'inputs': [{'hash': once['hash']['value']}] * 2},
                  {'inputs': [once, once]})
        forge.block()
        self.assertEqual(self.first(forge), ('A-ENCODING', '3', '6'))
        forge = history()
        forge.record(once)
        forge.record(iou(BOB, CAROL, '1', ALICE), once)
        forge.block()
        self.assertEqual(self.first(forge), ('A-DOUBLE', '3', '6'))

    def test_an_expired_iou_again_is_expired_not_double(self):
        """Two auditors would name one lie differently, by how long each remembers what has cleared."""
        once = iou(ALICE, BOB, '1', expiry='2026-01-01T00:00:02.000Z')
        forge = history()
        forge.record(once)
        forge.record(once, time='2026-01-01T00:00:03.000Z')
        forge.block()
        self.assertEqual(self.first(forge), ('A-EXPIRY', '3', '6'))

    def test_in_blocks(self):
        """Whoever goes by a block and has not the whole log would rely on what the host made up."""
        for field, value in [('domain', 'x'), ('rules', '2'), ('height', '2'), ('previous', '0' * 64), ('first', '3'),
                             ('leaves', '1'), ('records', '3'), ('cleared', '3'), ('time', '2026-01-01T00:00:02.000Z'),
                             ('time', 'noon'), ('root', '0' * 64), ('log', '0' * 64), ('signature', 'x'), ('unknown', 'x')]:
            with self.subTest(field):
                self.assertEqual(self.first(history(block=setting(field, value))), ('A-HEADER', '1', '2'))
        for field in ('state', 'units'):
            self.assertEqual(self.first(history(block=setting(field, 'x')), '--structure'), ('A-HEADER', '1', '2'))
            self.assertEqual(self.first(history(block=setting(field, '0' * 64))), ('A-STATE', '1', '2'))

    def test_in_genesis_and_block_0(self):
        """Whoever goes by how a log begins would be shown other rules, another log's key or another time."""
        self.assertEqual(self.first(Forge(genesis=setting('rules', '2'))), ('A-HEADER', '0', '0'))
        for key in ('x', str(Signer('log', 'other.example').key)):
            _, findings, _ = self.audit(Forge(genesis=setting('key', key)))
            self.assertEqual([(f['code'], f['number'], f['field']) for f in findings], [('A-HEADER', '0', 'data.key')])
        self.assertEqual(self.first(Forge(change=setting('time', SECOND))), ('A-HEADER', '0', '0'))

    def test_money_out_of_nothing_that_everything_agrees_with(self):
        """Holders of a unit would not learn that the host made more of it out of nothing."""
        forge = history()

        def lie(data):
            data['outputs'][1]['balance']['net'] = '1000'
        forge.record(iou(ALICE, BOB, '1'), change=lie)
        forge.block()
        _, findings, _ = self.audit(forge)
        self.assertEqual([(f['code'], f['number']) for f in findings], [('A-OUTPUT', '5'), ('A-SUM', '5')])

    def test_order_of_leaves(self):
        """A payee would rely on a record that no block seals."""
        forge = history()
        forge.record(iou(ALICE, BOB, '1'))
        forge.stack()
        forge.block()
        self.assertEqual(self.first(forge), ('A-HEADER', '3', '5'))
        forge = history()
        forge.record(iou(ALICE, BOB, '1'))
        forge.checkpoints.append(forge.checkpoint())
        self.assertEqual(self.first(forge), ('A-HEADER', '3', '5'))

    def test_a_new_day_without_a_stack_and_stacks_that_lie(self):
        """Whoever keeps a log's days by its stacks would miss a day, or hold what the host made up."""
        forge = history()
        forge.block(time='2026-01-02T00:00:00.000Z')
        self.assertEqual(self.first(forge), ('A-HEADER', '3', '4'))
        for field in ('height', 'time', 'previous', 'first', 'blocks', 'root', 'domain'):
            with self.subTest(field):
                forge = history()
                forge.stack(change=setting(field, '7'))
                forge.block()
                self.assertEqual(self.first(forge), ('A-HEADER', '3', '4'))

    def test_key_chain(self):
        """A thief could make a key of his own the log's next, or sign on with one that was given up."""
        other = Signer('x')
        for change, liar in [(setting('old', str(other.key)), None), (setting('old', str(other.key)), other), (None, other)]:
            forge = history()
            forge.rotate(Signer('log 2'), change=change, liar=liar)
            forge.block()
            self.assertEqual(self.first(forge), ('A-KEYS', '3', '4'))
        # Damage that hides who signs next is damage, not another signer.
        forge = history()
        forge.rotate(Signer('log 2'))
        forge.block()
        forge.write(self.directory)
        self.flip('tile/entries/000.p/10', sum(2 + len(leaf) for leaf in forge.leaves[:8]) + 12)
        _, findings, _ = self.run_audit(self.directory, '--key', str(Signer('log').key))
        self.assertEqual((findings[0]['code'], findings[0]['leaf']), ('A-TILE', '8'))
        # After a rotation the old key is nobody's.
        forge = history()
        forge.rotate(Signer('log 2'))
        forge.signer = Signer('log')
        forge.block()
        self.assertEqual(self.first(forge), ('A-NOTE', None, None))

    def test_only_good_documents_hand_on_a_key(self):
        """What one auditor takes for the log's key, all must: or a server could show each of them another log."""
        stranger, leaves = Signer('stranger'), history().leaves
        # A genesis that does not bear its name by right.
        self.assertEqual(self.first(of_leaves(leaves, stranger))[0], 'A-NOTE')
        self.assertEqual(self.first(of_leaves([misnamed(leaves[0]), *leaves[1:]], stranger)), ('A-HASH', '0', '0'))
        # A change of keys that does not.
        forge = history()
        forge.rotate(Signer('log 2'))
        forge.block()
        leaves_ = [*forge.leaves[:-2], misnamed(forge.leaves[-2]), forge.leaves[-1]]
        for signer, found in (('log 2', ('A-NOTE', None, None)), ('log', ('A-HASH', '3', '4'))):
            self.assertEqual(self.first(of_leaves(leaves_, Signer(signer)), key=Signer('log').key), found)
        # A genesis behind another leaf: a record, one that nobody can read, and a block document of that kind.
        for leaf, found in ((leaves[2], ('A-HEADER', '0', '1')), (b'{}', ('A-ENCODING', '0', '1')),
                            (b'{"data":{"kind":"block"}}', ('A-ENCODING', '0', '0'))):
            self.assertEqual(self.first(of_leaves([leaf, *leaves], stranger)), found)

    def test_who_signs_the_empty_log(self):
        """Before there is a log, the key of its genesis signs that it is empty; without a good one, the key that is known."""
        forge, known = Forge(), self.path('known')
        forge.rotate(Signer('log 2'))
        forge.block()

        def asked(made, key, signer):
            with open(known, 'wb') as file:
                file.write(head(Signer(signer), 0, sha256(b'')))
            _, findings, _ = self.audit(made, '--from', known, key=Signer(key).key)
            return findings[0]['code'] if findings else None
        self.assertEqual((asked(forge, 'log 2', 'log'), asked(forge, 'log 2', 'log 2')), (None, 'A-NOTE'))
        leaves = forge.leaves
        swapped = [leaves[2], leaves[1], leaves[0], leaves[3]]
        broken = [canonical(document(json.loads(leaves[0])['data'] | {'rules': '2'})), *leaves[1:]]
        for made in (of_leaves(swapped, Signer('log 2')), of_leaves(broken, Signer('log 2'))):
            for key, other in (('log', 'log 2'), ('log 2', 'log')):
                with self.subTest(key):
                    self.assertEqual((asked(made, key, key), asked(made, key, other)), ('A-HEADER', 'A-NOTE'))

    def test_a_key_whose_name_no_note_can_show(self):
        """A key that one auditor can read and another cannot makes two logs of one."""
        for name, found in (('wallet\x01test', 'A-HEADER'), ('wal+let', 'A-HEADER'), ('wal\u3000let', 'A-HEADER'),
                            ('wallet\x7ftest', 'A-KEYS')):
            forge, public = history(), Signer('log 2').public
            odd = VerifierKey(name, sha256(name.encode() + b'\n\x01' + public)[:4], public)
            forge.rotate(Signer('log 2'), change=setting('new', str(odd)))
            forge.signer = Signer('log')
            forge.block()
            made = of_leaves(forge.leaves, Signer('log' if found == 'A-HEADER' else 'log 2'))
            with self.subTest(name):
                codes = [f['code'] for f in self.audit(made, key=Signer('log').key)[1]]
                self.assertIn(found, codes)
                self.assertEqual('A-KEYS' in codes, found == 'A-KEYS')

    def test_what_no_command_line_is(self):
        """A typing error must not turn a question off that somebody relies on."""
        forge = history()
        forge.write(self.directory)
        key = str(forge.signer.key)
        good = [self.directory, '--key', key]
        rows = [
            (1, [*good, '--max-age', '0']), (0, [*good, '--max-age', '4294967295']), (0, good),
            (2, [*good, '--max-age', '4294967296']), (2, [*good, '--max-age', '-1']), (2, [*good, '--max-age=+5']),
            (2, [*good, '--max-age=1_0']), (2, [*good, '--max-age=\u0661']), (2, [*good, '--max-age=']),
            (2, [*good, '--max-age=' + '9' * 5000]), (2, [*good, '--domain=']), (2, [*good, '--struct']),
            (2, [self.directory, '--key', key.replace('w', '\x01', 1)]), (2, [self.directory, '--key', b'\xff' + key.encode()]),
        ]
        for code, arguments in rows:
            with self.subTest(f'{arguments[1:]}'[:80]):
                self.assertEqual(self.command(*arguments)[0], code)

    def test_the_verdict_is_the_same_whoever_reads_it(self):
        """A script goes by the exit status: a pager that was left must not turn it into anything else."""
        forge = history()
        forge.write(self.directory)
        good = [self.directory, '--key', str(forge.signer.key)]
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'webwallet_audit.py')
        rows = [(0, good), (1, [*good, '--max-age', '0']), (2, ['/nowhere', *good[1:]]), (1, ['receipt', '/dev/zero', *good[1:]])]
        for code, arguments in rows:
            for full in ('stdout', 'stderr'):
                with self.subTest(f'{code} {full}'), open('/dev/full', 'wb') as nowhere:
                    streams = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL, full: nowhere}
                    done = subprocess.run([sys.executable, '-B', script, *arguments], **streams, timeout=60)
                    self.assertEqual(done.returncode, code)
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([sys.executable, '-B', script, *arguments], stdout=writer, stderr=writer, timeout=60)
            os.close(writer)
            self.assertEqual(done.returncode, code)

    def test_what_strangers_write_is_shown_escaped(self):
        """It must not clear the screen of who reads it, end its line, or turn it round; nor a line of JSON."""
        forge, origin = history(), 'evil\x9b2J\x85\u202e\u2028\u2066\x7fend'
        text = checkpoint_text(origin, 0, bytes(32))
        forge.checkpoints.append(f'{text}\n{Signer("log").line(text)}\n'.encode())
        forge.write(self.directory)
        for flags in (['--json'], []):
            code, out, _ = self.command(self.directory, '--key', str(forge.signer.key), *flags)
            self.assertEqual(code, 1)
            self.assertIn('evil\\u009b2J\\u0085\\u202e\\u2028\\u2066\\u007fend', out)
            self.assertEqual(out.split('\n'), [*out.splitlines(), ''])
            if flags:
                self.assertEqual(json.loads(out.splitlines()[0])['actual'], origin)

    def test_a_block_of_tomorrow_and_a_stale_one(self):
        """A host could date its log ahead, or pass off one that has stopped as up to date."""
        forge = Forge()
        forge.block(time='2126-01-01T00:00:00.000Z')
        codes = {f['code'] for f in self.audit(forge)[1]}
        self.assertIn('A-TIME', codes)
        self.assertEqual(self.first(history(), '--max-age', '60'), ('A-STALE', '2', '4'))
        # Every log was empty once, and has signed that it was.
        forge = Forge()
        forge.leaves, forge.log = [], Range(sha256)
        forge.checkpoints.append(forge.checkpoint())
        self.accepted(forge)
        self.assertEqual(self.first(forge, '--max-age', '60'), ('A-STALE', None, None))
        # Of a root that no empty log has, not even its age is known.
        text = checkpoint_text(DOMAIN, 0, bytes(32))
        forge.checkpoints.append(f'{text}\n{forge.signer.line(text)}\n'.encode())
        _, findings, _ = self.audit(forge, '--max-age', '60')
        self.assertEqual([(f['code'], f['block'], f['number']) for f in findings], [('A-TILE', '0', '1')])

    def test_the_age_is_that_of_the_last_block_whatever_follows_it(self):
        """Leaves that nobody seals would keep a stopped log young."""
        def last(state=None, unsealed=None):
            forge = history()
            forge.block(change=state and setting('state', state))
            if unsealed:
                forge.record(unsealed)
                forge.checkpoints.append(forge.checkpoint())
            return forge

        block, after = ('3', '4', '8'), ('4', '5', '9')
        stale, unended = ('A-STALE', *block), ('A-HEADER', *after)
        rows = [
            (last(), [stale]),
            (last(unsealed=iou(ALICE, BOB, '1')), [stale, unended]),
            (last(unsealed=iou(CAROL, BOB, '100', ALICE)), [stale, unended, ('A-LIMIT', *after)]),
            (last(state='0' * 64), [('A-STATE', *block), stale]),
            (last('0' * 64, iou(ALICE, BOB, '1')), [('A-STATE', *block), stale, unended]),
        ]
        for forge, expected in rows:
            with self.subTest(f'{expected}'):
                _, findings, _ = self.audit(forge, '--max-age', '60')
                self.assertEqual([(f['code'], f['block'], f['number'], f['leaf']) for f in findings], expected)

    def test_structure_leaves_meaning_alone(self):
        """Who asks about structure alone would be told of payments too, or a full audit pass one beyond a limit."""
        forge = history()
        forge.record(iou(CAROL, BOB, '100', ALICE))
        forge.block()
        self.accepted(forge, '--structure')
        self.assertEqual(self.first(forge), ('A-LIMIT', '3', '5'))

    def test_structure_reads_the_data_of_records_themselves(self):
        """What a record is, its own data says and nothing inside it: or records could be numbered twice."""
        posing = [{'a': [], 'kind': 'record', 'number': '5'}]
        rows = [
            (None, {}), (None, {'inputs': posing}), ('A-GAP', {'inputs': posing, 'number': '99'}),
            ('A-ENCODING', {'inputs': posing, 'kind': 'poem'}), ('A-HEADER', {'inputs': posing, 'kind': 'stack'}),
            (None, {'about': 'x'}), (None, {'label': 'x'}), (None, {'zebra': 'x'}), (None, {'inputs': 'x'}), (None, {'outputs': 1}),
            ('A-ENCODING', {'number': '05'}), ('A-ENCODING', {'time': 'noon'}),
        ]
        for found, change in rows:
            for named in (True, False):
                forge = history()
                forge.record(iou(ALICE, BOB, '1'), change=lambda data: data.update(change),
                             raw=lambda made: canonical(made) if named else misnamed(canonical(made)))
                forge.block()
                expected = found if named or found == 'A-ENCODING' else 'A-HASH'
                with self.subTest(f'{change} {named}'):
                    _, findings, _ = self.audit(forge, '--structure')
                    self.assertEqual(findings[0]['code'] if findings else None, expected)

    def test_leaves_that_are_no_documents(self):
        """What nobody can read would count as a part of history."""
        for raw in [b'', b'{}', b'\xff', b'{"data":{"kind":"poem"}}', canonical(document({'kind': 'poem'})),
                    json.dumps(document({'kind': 'record'})).encode(), canonical(document({'kind': 'record', 'x': 'x' * 61_440}))]:
            with self.subTest(raw[:30]):
                forge = history()
                forge.raw(raw)
                forge.block()
                self.assertEqual(self.first(forge), ('A-ENCODING', '3', '5'))

    def test_a_sound_record_in_another_spelling(self):
        """Of one record there would be two leaves, and auditors would disagree which of them is in the log."""
        forge = history()
        forge.record(iou(ALICE, BOB, '1'), raw=lambda made: canonical(made).replace(b':', b': ', 1))
        forge.block()
        self.assertEqual(self.first(forge), ('A-ENCODING', '3', '5'))

    def test_a_record_larger_than_a_leaf(self):
        """A record that is too long for other auditors would pass here, and one log have two verdicts."""
        self.record_lie(None, *(iou(ALICE, BOB, '1') for _ in range(84)), code='A-ENCODING')


class Files(LogTest):
    """A directory that was altered, cut or swapped must not pass."""

    def broken(self, forge, change):
        forge.write(self.directory)
        change()
        code, findings, _ = self.run_audit(self.directory, '--key', str(forge.signer.key), '--structure')
        self.assertEqual(code, 1)
        return findings[0]['code'], findings[0]['leaf'], findings[0]['block'], findings[0]['number']

    def test_any_byte_of_any_file(self):
        """Whoever is handed a copy of a log could be handed one that was altered."""
        forge = history()
        forge.write(self.directory)
        for name in ('checkpoint', 'tile/0/000.p/8', 'tile/entries/000.p/8'):
            size = os.path.getsize(self.path(name))
            for at in range(0, size, max(1, size // 15)):
                with self.subTest(f'{name} {at}'):
                    found = self.broken(forge, lambda: self.flip(name, at))
                    self.assertIn(found[0], ('A-NOTE', 'A-TILE'))

    def test_where_an_altered_leaf_is(self):
        """Whoever looks for the damage would look at a record that is sound."""
        forge = history()
        at = sum(2 + len(leaf) for leaf in forge.leaves[:3]) + 200
        self.assertEqual(self.broken(forge, lambda: self.flip('tile/entries/000.p/8', at)), ('A-TILE', '3', '1', '2'))
        self.assertEqual(self.broken(forge, lambda: self.flip('tile/0/000.p/8', 32 * 3)), ('A-TILE', '3', '1', '2'))
        self.assertEqual(self.broken(forge, lambda: self.flip('tile/0/000.p/8', 32 * 4)), ('A-TILE', '4', '1', '2'))

    def test_missing_and_cut_files(self):
        """A copy of which a part is missing would pass for whole, or the damage be looked for elsewhere."""
        forge = history()
        self.assertEqual(self.broken(forge, lambda: os.remove(self.path('tile/0/000.p/8'))), ('A-TILE', '0', '0', '0'))
        self.assertEqual(self.broken(forge, lambda: os.remove(self.path('tile/entries/000.p/8'))), ('A-TILE', '0', '0', '1'))
        size = sum(2 + len(leaf) for leaf in forge.leaves)
        for length in (3000, size - 1, size + 1):
            self.assertEqual(self.broken(forge, lambda: os.truncate(self.path('tile/entries/000.p/8'), length)),
                             ('A-TILE', '0', '0', '1'))

    def test_upper_tiles(self):
        """One altered byte would look like many, or be looked for among leaves that are sound."""
        forge = long_history(3 * WIDTH)
        self.assertEqual(self.broken(forge, lambda: self.flip('tile/1/000.p/3', 40)), ('A-TILE', '256', '1', '255'))
        self.assertEqual(self.broken(forge, lambda: self.flip('tile/0/001', 40)), ('A-TILE', '257', '1', '256'))
        # One altered byte is one finding in the files, not one in every tile above it.
        self.assertEqual(self.broken(forge, lambda: self.flip('tile/entries/001', 40)), ('A-TILE', '256', '1', '255'))
        _, findings, _ = self.run_audit(self.directory, '--key', str(forge.signer.key), '--structure')
        self.assertEqual([f['code'] for f in findings].count('A-TILE'), 1)
        self.assertEqual(self.broken(forge, lambda: os.remove(self.path('tile/1/000.p/3'))), ('A-TILE', '0', '0', '0'))

    def test_what_is_no_file(self):
        """An auditor that waits for ever says nothing; and what bears the name of a partial tile is one."""
        forge = long_history(300)

        def link(path):
            os.symlink('nowhere', path)

        for make in (os.mkdir, link, os.mkfifo):
            for name, leaf in (('tile/entries/000.p/5', '0'), ('tile/0/000.p/5', '0'), ('tile/entries/001.p/5', '256'),
                               ('tile/0/001.p/5', '256')):
                def put(path=self.path(name)):
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    make(path)
                with self.subTest(f'{make} {name}'):
                    self.assertEqual(self.broken(forge, put)[:2], ('A-TILE', leaf))
        for name, code in (('tile/entries/000', 1), ('tile/0/000', 1), ('checkpoint', 2)):
            forge.write(self.directory)
            os.remove(self.path(name))
            os.mkfifo(self.path(name))
            self.assertEqual(self.command(self.directory, '--key', str(forge.signer.key), '--structure')[0], code)

    def test_an_upper_tile_over_leaves_that_nobody_can_read(self):
        """Damage is named where it begins, also where so much is missing that reading stops."""
        forge, size = long_history(256), 256 * 1300
        forge.checkpoints.append(head(forge.signer, size, bytes(32)))
        forge.write(self.directory)
        os.makedirs(self.path('tile/1'), exist_ok=True)
        shutil.rmtree(self.path('tile/1/000.p'), ignore_errors=True)
        top = root(sha256, [leaf_hash(sha256, leaf) for leaf in forge.leaves])
        for first, leaves in ((top, ['0', '256']), (bytes(32), ['0', '0'])):
            with open(self.path('tile/1/000'), 'wb') as file:
                file.write(first + bytes(32 * 255))
            _, findings, _ = self.run_audit(self.directory, '--key', str(forge.signer.key), '--structure')
            self.assertEqual([f['leaf'] for f in findings if f['code'] == 'A-TILE'][:2], leaves)

    def test_a_root_that_is_not_the_leaves(self):
        """Whoever trusts a signed head would be shown leaves that it was not signed for."""
        forge = history()
        forge.log = Range(sha256)
        forge.log.push(leaf_hash(sha256, b'other'))
        forge.checkpoints.append(forge.checkpoint())
        self.assertEqual(self.first(forge), ('A-TILE', '0', '0'))

    def test_a_signed_size_without_end(self):
        """A host that signs a size it never had would keep an auditor busy for ever."""
        forge = history()
        text = f'wallet.test\n{2**64 - 1}\n{encode(bytes(32))}\n'
        forge.checkpoints.append(f'{text}\n{forge.signer.line(text)}\n'.encode())
        _, findings, _ = self.audit(forge)
        self.assertEqual(findings[0]['code'], 'A-TILE')
        # Two files are missing for each of a thousand bundles, and a few above them.
        self.assertLess(len(findings), 3000)

    def test_notes_of_another_form(self):
        """A head of another log would be believed, or an honest one called false because witnesses signed it too."""
        forge = history()
        good = forge.checkpoints[-1]
        for raw in [b'', b'x', good[:-1], good + b'\n', good.replace(b'wallet', b'Wallet', 1), b'\xff' + good,
                    good.replace(b'\n8\n', b'\n08\n'), good.replace(b'\n8\n', b'\n-8\n')]:
            with self.subTest(raw[:20]):
                forge.checkpoints.append(raw)
                self.assertEqual(self.first(forge), ('A-NOTE', None, None))
        # The log's own key may sign for another log, and an older one for this.
        text = good.decode().split('\n\n')[0].replace('wallet.test', 'other.test') + '\n'
        forge.checkpoints.append(f'{text}\n{forge.signer.line(text)}\n'.encode())
        self.assertEqual(self.first(forge), ('A-NOTE', None, None))
        # Witnesses may sign beside the log.
        witness = '\u2014 witness.example AAAAAAAA\n'.encode()
        for lines in (1, 99):
            forge.checkpoints.append(good + lines * witness)
            self.accepted(forge)
        forge.checkpoints.append(good + 100 * witness)
        self.assertEqual(self.first(forge), ('A-NOTE', None, None))
        for length, code in ((999_600, 0), (1_000_000, 1)):
            forge.checkpoints.append(good + witness.replace(b'AAAAAAAA', b'A' * length))
            self.assertEqual(self.audit(forge)[0], code)

    def test_what_cannot_run_is_2(self):
        """A mistyped path would be taken for a log that is false, or for one that is sound."""
        for arguments in ([self.directory + '/none', '--key', str(Signer('log').key)], [self.directory, '--key', str(Signer('log').key)]):
            with self.assertRaises(webwallet_audit.SourceError):
                self.run_audit(*arguments)


class Receipts(LogTest):
    """The proof somebody keeps for the day the server is gone."""

    def receipt(self, forge, index, leaf=None, keys=None):
        path, hashes = [], [leaf_hash(sha256, each) for each in forge.leaves]
        _path(hashes, index, path)
        note = forge.checkpoints[-1].decode()
        lines = ['c2sp.org/tlog-proof@v1', 'extra ' + encode(leaf or forge.leaves[index]), f'index {index}', *map(encode, path)]
        file = self.path('receipt.tlog-proof')
        with open(file, 'w', encoding='utf-8') as out:
            out.write('\n'.join(lines) + '\n\n' + note)
        return self.run_audit('receipt', file, *(keys or ['--key', str(forge.signer.key)]))

    def test_receipts(self):
        """A payee's proof would be refused when it is needed, or one of a payment that is in no log believed."""
        forge = history()
        for index in (2, 3, 5, 6):
            code, findings, last = self.receipt(forge, index)
            self.assertEqual((code, findings), (0, []))
        self.assertEqual(last['number'], '4')
        self.assertEqual(self.receipt(forge, 2, forge.leaves[3])[1][0]['code'], 'A-TILE')
        self.assertEqual(self.receipt(forge, 4)[1][0]['code'], 'A-ENCODING')
        for data in [{'kind': 'record', 'domain': 'wallet.test'}, json.loads(forge.leaves[2])['data'] | {'number': '01'}]:
            other = history()
            other.put(data)
            other.block()
            self.assertEqual(self.receipt(other, 8)[1][0]['code'], 'A-ENCODING')
        other.put(json.loads(forge.leaves[2])['data'] | {'domain': 'other.test'})
        other.block()
        self.assertEqual(self.receipt(other, 10)[1][0]['code'], 'A-DOMAIN')
        forge.signer = Signer('stranger')
        self.assertEqual(self.receipt(forge, 2)[1][0]['code'], 'A-NOTE')


    def test_any_of_several_keys_will_do(self):
        """Who keeps receipts keeps the keys of all the years."""
        forge = history()
        keys = [str(Signer(name).key) for name in ('log 0', 'log', 'log 2')]
        self.assertEqual(self.receipt(forge, 2, keys=[part for key in keys for part in ('--key', key)])[0], 0)
        self.assertEqual(self.receipt(forge, 2, keys=['--key', keys[0], '--key', keys[2]])[1][0]['code'], 'A-NOTE')
        # The key of another log proves nothing about this one, though it has signed.
        other = Signer('log', 'other.test')
        size, top = len(forge.leaves), forge.log.root()
        forge.checkpoints.append(head(other, size, top).replace(b'\xe2\x80\x94 wallet', b'\xe2\x80\x94 other'))
        found = self.receipt(forge, 2, keys=['--key', str(other.key), '--key', keys[1]])[1][0]
        self.assertEqual((found['code'], found['field']), ('A-NOTE', 'origin'))

    def test_a_record_that_carries_no_ious(self):
        """What nobody can clear again is no record."""
        made = json.loads(history().leaves[2])
        for meta in ([], 'x', {}, {'a': 1}, {'inputs': 'x'}, {'inputs': {}}):
            forge = history()
            forge.raw(canonical(made | {'meta': meta}))
            forge.block()
            self.assertEqual(self.receipt(forge, 8)[1][0]['code'], 'A-ENCODING')

    def test_the_json_form_is_said_not_to_be_read(self):
        """A good receipt must not be called false because of its spelling."""
        with open(self.path('receipt'), 'wb') as file:
            file.write(b' {"checkpoint":""}\n')
        code, out, error = self.command('receipt', self.path('receipt'), '--key', str(Signer('log').key))
        self.assertEqual((code, out), (2, ''))
        self.assertIn('only the text form', error)


def _path(hashes, index, path):
    """Appends the inclusion path, by the recursion of RFC 6962 itself; gives the root."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    left, right = [], []
    roots = _path(hashes[:split], index, left), _path(hashes[split:], index - split, right)
    path += left + [roots[1]] if index < split else right + [roots[0]]
    return sha256(b'\x01' + roots[0] + roots[1])


class Endless:
    """A log that somebody makes up while it is read."""

    def __init__(self, tile):
        self._tile, self.asked = tile, 0

    def read(self, path, _bytes_max):
        self.asked += 1
        path, _, width = path.partition('.p/')
        return self._tile(path.split('/')[1], int(width or WIDTH))

    def has(self, _path):
        return False

    def spare_widths(self, _path, _width):
        return []


class Ends(unittest.TestCase):
    """Whoever audits a stranger's log has an answer while they wait, however long the log is that he makes up."""

    def first(self, tile):
        place, key = Endless(tile), Signer('another').key
        checkpoint = checkpoint_text(DOMAIN, WIDTH ** 6, bytes(32)) + f'\n\u2014 {DOMAIN} {encode(bytes(68))}\n'
        audit = Audit(key, DOMAIN, 0)
        findings, _ = audit.run(place, checkpoint.encode())
        self.assertGreater(audit.unread(), 0)
        self.assertLess(place.asked, 30_000)
        return findings[0]['code'], findings[0]['block'], findings[0]['number']

    def test_garbage_without_end(self):
        self.assertEqual(self.first(lambda *_: b'x'), ('A-TILE', '0', '1'))

    def test_leaves_of_nothing_under_tiles_that_are_right(self):
        nodes = [leaf_hash(sha256, b'')]
        for _ in range(6):
            nodes.append(root(sha256, [nodes[-1]] * WIDTH))

        def tile(level, width):
            return bytes(2 * width) if level == 'entries' else nodes[int(level)] * width
        self.assertEqual(self.first(tile), ('A-ENCODING', '0', '1'))

    def test_a_leaf_does_not_fill_the_report(self):
        """One leaf of long texts would bury whatever else was found."""
        self.assertLess(len(str(finding(Fault('A-HEADER', 'x' * 60_000, 'y' * 60_000, 'z' * 60_000)))), 4_000)


if __name__ == '__main__':
    unittest.main()
