"""Records and what clearing them gives: accounts, limits, outputs, used IOUs, and the state every block commits to.

After a wrong clearing the outputs as logged become the state, so that one lie is one finding, not a thousand.
"""

from address import is_address
from amount import INFINITY, OVERFLOW, parse_balance, write
from document import DAY_MS, Fault, Unreadable, is_hash, members, number, texts, time_ms
from iou import Iou
from json_profile import canonical
from lock import Lock, is_pointer
from tree import SparseTree, sha3

INPUTS_MAX, REQUEST_SIGNATURES_MAX = 100, 128
EXPIRY_MAX_MS = 3_660 * DAY_MS


class RecordData:
    """What a well-shaped record says, whatever IOUs it carries; Unreadable says what is not."""

    def __init__(self, document):
        data = document['data']
        self.hash, self.outputs = document['hash']['value'], data.get('outputs')
        members(data, 'data', ['domain', 'inputs', 'kind', 'number', 'outputs', 'time'])
        self.number, self.time = outline(document)
        texts({'domain': data['domain']}, 'data', ['domain'])
        self.domain = data['domain']
        _check_inputs(data['inputs'], 'data.inputs')
        for index, item in enumerate(data['inputs']):
            texts(item, f'data.inputs.{index}', ['hash'])
            if not is_hash(item['hash']):
                raise Unreadable(f'data.inputs.{index}.hash', '64 lower-case hex digits', item['hash'])
        self.named = [item['hash'] for item in data['inputs']]
        self._read_outputs()
        members(document['meta'], 'meta', ['inputs'])
        self.carried = document['meta']['inputs']
        if not isinstance(self.carried, list):
            raise Unreadable('meta.inputs', 'a list')

    def _read_outputs(self):
        """Outputs of accounts, then locked ones."""
        if not isinstance(self.outputs, list):
            raise Unreadable('data.outputs', 'a list')
        self.locks = {}
        for index, output in enumerate(self.outputs):
            field = f'data.outputs.{index}'
            if self.locks or isinstance(output, dict) and 'locker' in output:
                self.locks[f'{self.hash}::{index}'] = Lock(output, field)
                continue
            members(output, field, ['address', 'balance', 'counter', 'sources'])
            texts(output['balance'], field + '.balance', ['max', 'min', 'net'])
            for key, text in output['balance'].items():
                if parse_balance(key, text) is None:
                    raise Unreadable(f'{field}.balance.{key}', 'a decimal or a limit', text)
            for key in ('address', 'counter'):
                if not isinstance(output[key], str) or not is_address(output[key]):
                    raise Unreadable(f'{field}.{key}', 'an address', output[key])
            if not isinstance(output['sources'], list) or not all(map(is_pointer, output['sources'])):
                raise Unreadable(field + '.sources', 'a list of pointers')


class Record(RecordData):
    """A well-shaped record and its IOUs."""

    def __init__(self, document):
        super().__init__(document)
        _check_inputs(self.carried, 'meta.inputs')
        self.ious = [Iou(item, f'meta.inputs.{index}') for index, item in enumerate(self.carried)]
        if len({iou.hash for iou in self.ious}) < len(self.ious):
            raise Unreadable('meta.inputs', 'each IOU once')
        if sum(len(iou.signatures) for iou in self.ious) > REQUEST_SIGNATURES_MAX:
            raise Unreadable('meta.inputs', f'at most {REQUEST_SIGNATURES_MAX} signatures')

    def hash_faults(self):
        """A-HASH in its inputs: their own hashes, and the list of them in `data`."""
        faults = [fault for iou in self.ious for fault in iou.hash_faults()]
        carried = [iou.hash for iou in self.ious]
        if carried != self.named:
            faults.append(Fault('A-HASH', 'data.inputs', ' '.join(carried)[:200], ' '.join(self.named)[:200]))
        return faults


def _check_inputs(items, field):
    if not isinstance(items, list) or not 1 <= len(items) <= INPUTS_MAX:
        raise Unreadable(field, f'a list of 1 to {INPUTS_MAX}')


def outline(document):
    """(number, time) of a record."""
    data = document['data']
    place, time = number(data.get('number')), time_ms(data.get('time'))
    if place is None:
        raise Unreadable('data.number', 'a decimal number', data.get('number'))
    if time is None:
        raise Unreadable('data.time', 'YYYY-MM-DDTHH:MM:SS.sssZ', data.get('time'))
    return place, time


class _Account:
    """A line of one address in one unit; `pointer` and `number` name the output it stands in."""
    __slots__ = ('net', 'min', 'max', 'pointer', 'number', 'collected')

    def __init__(self, is_issuer):
        self.net = 0
        self.min, self.max = (-INFINITY, 0) if is_issuer else (0, INFINITY)
        self.pointer, self.number, self.collected = None, None, []


class _Unit:
    __slots__ = ('accounts', 'sum', 'told', 'locked')

    def __init__(self):
        self.accounts, self.sum, self.told, self.locked = 0, 0, 0, 0


class State:
    """Everything the records so far have left."""

    def __init__(self):
        self._accounts, self._units, self._used = {}, {}, {}
        self._locks, self._used_locks, self._locked_units = {}, set(), set()
        self._account_tree, self._unit_tree = SparseTree(), SparseTree()
        self._touched = {}
        self._forgotten_at = 0

    def clear(self, record):
        """The faults of clearing, in table order, and the record's outputs as the new state."""
        faults = self._double_faults(record) + _expiry_faults(record)
        lock_faults, amounts = self._lock_faults(record)
        touched = self._move(record, amounts)
        faults += _grant_faults(record, touched) + lock_faults
        # What a lock would have given is not known, so limits and outputs behind it cannot be judged.
        if not lock_faults:
            faults += _limit_faults(touched) + self._output_faults(record, touched)
        self._take(record)
        return faults

    def _lock_faults(self, record):
        """(A-LOCK faults, what each IOU gets out of the lock it uses)."""
        faults, amounts, named = [], [], set()
        for iou in record.ious:
            amounts.append(0)
            if iou.solver is None:
                continue
            lock = self._locks.get(iou.solver.output)
            if lock is None or lock.unit != iou.unit or iou.solver.output in named:
                fault = 'an open lock in this unit'
            else:
                named.add(iou.solver.output)
                fault = lock.fault(iou, record.time)
                amounts[-1] = 0 if fault else lock.amount
            if fault:
                faults.append(Fault('A-LOCK', iou.field + 'data.solver.output', fault, iou.solver.output))
        return faults, amounts

    def _double_faults(self, record):
        faults = [Fault('A-DOUBLE', iou.field + 'hash.value', 'an IOU not used before', iou.hash)
                  for iou in record.ious if self._used.get(iou.hash, record.time - 1) >= record.time]
        named = set()
        for iou in record.ious:
            lock = iou.solver and iou.solver.output
            if lock in self._used_locks or lock in named and lock in self._locks:
                faults.append(Fault('A-DOUBLE', iou.field + 'data.solver.output', 'a lock not used before', lock))
            named.add(lock)
        return faults

    def _move(self, record, amounts):
        """The touched accounts with their final values, in order of first mention."""
        touched = {}

        def line(unit, address):
            if (unit, address) not in touched:
                copy, current = _Account(unit == address), self._accounts.get((unit, address))
                if current:
                    copy.net, copy.min, copy.max, copy.pointer = current.net, current.min, current.max, current.pointer
                touched[unit, address] = copy
            return touched[unit, address]

        for iou, amount in zip(record.ious, amounts):
            source = line(iou.unit, iou.source)
            source.net += amount - iou.amount
            if amount:
                source.collected.append(iou.solver.output)
            if (iou.amount or iou.credit) and not iou.locker:
                target = line(iou.unit, iou.target)
                target.net += iou.amount
                if iou.credit:
                    target.min += iou.credit
        return touched

    def _output_faults(self, record, touched):
        computed = outputs_of(touched, record.ious)
        for index in range(max(len(computed), len(record.outputs))):
            expected, actual = (outputs[index] if index < len(outputs) else None
                                for outputs in (computed, record.outputs))
            if expected != actual:
                texts_ = [None if output is None else canonical(output).decode() for output in (expected, actual)]
                return [Fault('A-OUTPUT', f'data.outputs.{index}', *texts_)]
        return []

    def _take(self, record):
        for index, output in enumerate(record.outputs):
            if 'locker' not in output:
                self._put(output, f'{record.hash}::{index}', record.number)
        for iou in record.ious:
            lock = iou.solver and self._locks.pop(iou.solver.output, None)
            if lock:
                self._used_locks.add(iou.solver.output)
                self._account_tree.remove(_lock_key(iou.solver.output))
                self._lock(lock.unit, -lock.amount)
        for pointer, lock in record.locks.items():
            self._locks[pointer] = lock
            self._account_tree.set(_lock_key(pointer), sha3(canonical({'output': lock.output, 'pointer': pointer})))
            self._lock(lock.unit, lock.amount)
        for iou in record.ious:
            self._used[iou.hash] = max(iou.expiry, self._used.get(iou.hash, iou.expiry))
        # An expired IOU cannot clear again; forgetting once a day keeps the set small.
        if record.time - self._forgotten_at >= DAY_MS:
            self._forgotten_at = record.time
            self._used = {name: expiry for name, expiry in self._used.items() if expiry >= record.time}

    def _lock(self, unit_id, amount):
        unit = self._units.setdefault(unit_id, _Unit())
        unit.locked += amount
        unit.sum += amount
        self._locked_units.add(unit_id)

    def _put(self, output, pointer, place):
        unit_id, address = output['counter'], output['address']
        unit = self._units.setdefault(unit_id, _Unit())
        if (unit_id, address) not in self._accounts:
            self._accounts[unit_id, address] = _Account(unit_id == address)
            unit.accounts += 1
        account = self._accounts[unit_id, address]
        unit.sum -= account.net
        account.net, account.min, account.max = (parse_balance(key, output['balance'][key]) for key in ('net', 'min', 'max'))
        account.pointer, account.number = pointer, place
        unit.sum += account.net
        self._touched[unit_id, address] = output['balance']

    def roots(self):
        """Brings both trees up to date: (state root, units root, A-SUM faults of the units whose sum changed since last time)."""
        units = {unit for unit, _ in self._touched} | self._locked_units
        for (unit, address), balance in self._touched.items():
            account = self._accounts[unit, address]
            value = {'address': address, 'max': balance['max'], 'min': balance['min'], 'net': balance['net'],
                     'number': str(account.number), 'output': account.pointer, 'unit': unit}
            key = sha3(b'account\x00' + unit.encode() + b'\x00' + address.encode())
            self._account_tree.set(key, sha3(canonical(value)))
        faults = []
        for unit in sorted(units):
            issuer, line = self._accounts.get((unit, unit)), self._units[unit]
            value = {'accounts': str(line.accounts), 'locked': write(line.locked), 'supply': write(-issuer.net if issuer else 0), 'unit': unit}
            self._unit_tree.set(sha3(b'unit\x00' + unit.encode()), sha3(canonical(value)))
            if line.sum not in (0, line.told):
                faults.append(Fault('A-SUM', unit, '0', write(line.sum)))
            line.told = line.sum
        self._touched, self._locked_units = {}, set()
        return self._account_tree.root(), self._unit_tree.root(), faults


def outputs_of(touched, ious):
    """The outputs that a clearing leaves: of accounts, then what is locked."""
    outputs = [{'address': address, 'counter': unit,
                'balance': {'max': write(line.max), 'min': write(line.min), 'net': write(line.net)},
                'sources': ([line.pointer] if line.pointer else []) + line.collected}
               for (unit, address), line in touched.items()]
    for iou in ious:
        if iou.locker:
            amount = write(iou.amount)
            outputs.append({'address': iou.target, 'balance': {'max': amount, 'min': '0', 'net': amount}, 'counter': iou.unit,
                            'locker': iou.locker.document, 'source': iou.source, 'sources': []})
    return outputs


def _lock_key(pointer):
    return sha3(b'lock\x00' + pointer.encode())


def _expiry_faults(record):
    faults = []
    for iou in record.ious:
        if iou.active is not None and iou.active > record.time:
            faults.append(Fault('A-EXPIRY', iou.field + 'data.active', 'not after the record', iou.document['data']['active']))
        if not record.time <= iou.expiry <= record.time + EXPIRY_MAX_MS:
            faults.append(Fault('A-EXPIRY', iou.field + 'data.expiry', 'within 3,660 days after the record',
                                iou.document['data']['expiry']))
    return faults


def _grant_faults(record, touched):
    faults = [Fault('A-GRANT', iou.field + 'data.credit', 'credit in the own unit of its source', iou.unit)
              for iou in record.ious if iou.credit and iou.source != iou.unit]
    faults += [Fault('A-GRANT', f'{unit}|{address}', 'min not above 0', write(line.min))
               for (unit, address), line in touched.items() if line.min > 0]
    return faults


def _limit_faults(touched):
    faults = []
    for (unit, address), line in touched.items():
        low = line.min if line.min != -INFINITY else 0
        if max(abs(line.net), abs(low)) >= OVERFLOW:
            faults.append(Fault('A-LIMIT', f'{unit}|{address}', 'at most 60 digits before the point'))
        elif not line.min <= line.net <= line.max:
            faults.append(Fault('A-LIMIT', f'{unit}|{address}', f'{write(line.min)} to {write(line.max)}', write(line.net)))
    return faults
