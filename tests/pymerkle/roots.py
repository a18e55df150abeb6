"""Prints roots of trees as the PyPI package pymerkle 7.0.0 computes them.

Leaf i is the text "leaf i". Its prefixes and shape are those of RFC 6962; a
second hand at the same roots, in another language. To make the vectors anew:

    python3 -m venv /tmp/pymerkle && /tmp/pymerkle/bin/pip install pymerkle==7.0.0
    /tmp/pymerkle/bin/python tests/pymerkle/roots.py > tests/vectors/pymerkle-roots.json
"""

import json

from pymerkle import InmemoryTree

SIZES = [*range(0, 34), 63, 64, 65, 127, 128, 129, 255, 256, 257, 258, 511, 512, 513,
         767, 1000, 1023, 1024, 1025, 2047, 2500, 4096, 4097]

roots = {}
for algorithm in ("sha256", "sha3_256"):
    tree = InmemoryTree(algorithm=algorithm)
    for i in range(max(SIZES)):
        tree.append_entry(f"leaf {i}".encode())
    # Sizes as text, as JSON has no other keys.
    roots[algorithm] = {str(size): tree.get_root(size).hex() for size in SIZES}
print(json.dumps({"pymerkle": "7.0.0", "leaf": "leaf {i}", "roots": roots}, indent=1))
