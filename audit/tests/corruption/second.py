"""Asks the second auditor about many logs in one process: one question in JSON a line, one answer a line.

A signature that was verified once is not verified again; everything else is done anew for each log.
"""

import functools
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../python'))

import curve
from audit import Audit
from log import read_checkpoint, source
from note import VerifierKey

curve.verify = functools.lru_cache(None)(curve.verify)

for line in sys.stdin:
    question = json.loads(line)
    audit = Audit(VerifierKey.parse(question['key']), question['domain'], question['now'], max_age_ms=question['max_age'])
    place = source(question['place'])
    known = question['from']
    findings, _ = audit.run(place, read_checkpoint(place), None if known is None else known.encode())
    print(json.dumps([[finding[key] for key in ('code', 'block', 'number')] for finding in findings]), flush=True)
