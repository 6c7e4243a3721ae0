"""Verifies an export of a ledger with tlog-scales, a library for C2SP tlog-tiles that knows nothing of countersign: the
Ed25519 signature of the checkpoint, the root that the tiles have, that every entry of every bundle is in the tree that was
signed, and that this tree continues smaller ones. Usage: verify_export.py DIRECTORY ED25519-KEY"""

import sys
from pathlib import Path

from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash


def main(directory: str, text: str) -> None:
    reader = TilesReader(LocalBackend(Path(directory)))
    checkpoint = reader.get_checkpoint()
    key = Vkey.from_string(text)
    if Vkey(key.name, None, key.sig_type, key.pubkey).key_id != key.key_id or checkpoint.origin != key.name:
        raise ValueError("the key's id or name is another's")
    checkpoint.verify(key)
    size, root = checkpoint.size, checkpoint.root_hash
    if reader.calculate_root_hash() != root:
        raise ValueError("the tiles have another root")
    for index in range(size):
        reader.get_inclusion_proof(index, size).check(leaf_hash(reader.get_entry(index)), root)
    older = range(1, size + 1, 1 + size // 64)
    for old in older:
        reader.get_consistency_proof(old, size).check(reader.mth(0, old), root)
    print(f"{size} entries in the tree, which continues {len(older)} smaller ones")


if __name__ == "__main__":
    main(*sys.argv[1:])
