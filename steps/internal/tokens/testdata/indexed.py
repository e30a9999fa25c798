#!/usr/bin/env python3
"""Writes the fixtures small16.{bin,idx} and small32.{bin,idx} and the lengths small.npy.

The layout is that of Megatron-LM's megatron/core/datasets/indexed_dataset.py (IndexedDatasetBuilder and _IndexWriter),
written out here with numpy alone. Made with Python 3.11.7 and numpy 2.4.6.

    python3 indexed.py            in this folder
    python3 indexed.py FOLDER     checks every .idx/.bin pair of a folder instead, and prints its figures
"""
import pathlib
import struct
import sys

import numpy as np

DTYPES = {4: np.int32, 8: np.uint16}

# TestIndexedNumpy has the same documents.
DOCUMENTS = [[1, 2, 3], [0], [], [65534, 7, 7, 7, 42], list(range(100, 400))]


def write(base, dtype, code):
    sizes = np.array([len(d) for d in DOCUMENTS], dtype=np.int32)
    pointers = np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64)]).astype(np.int64) * np.dtype(dtype).itemsize
    with open(base + ".bin", "wb") as f:
        for d in DOCUMENTS:
            f.write(np.array(d, dtype=dtype).tobytes(order="C"))
    with open(base + ".idx", "wb") as f:
        f.write(b"MMIDIDX\x00\x00")
        f.write(struct.pack("<Q", 1))
        f.write(struct.pack("<B", code))
        f.write(struct.pack("<Q", len(sizes)))
        f.write(struct.pack("<Q", len(sizes) + 1))
        f.write(sizes.tobytes(order="C"))
        f.write(pointers.tobytes(order="C"))
        f.write(np.arange(len(sizes) + 1, dtype=np.int64).tobytes(order="C"))


def check(base):
    """Reads a pair as Megatron's _IndexReader and _MMapBinReader do."""
    with open(f"{base}.idx", "rb") as f:
        assert f.read(9) == b"MMIDIDX\x00\x00"
        assert struct.unpack("<Q", f.read(8)) == (1,)
        dtype = DTYPES[struct.unpack("<B", f.read(1))[0]]
        count, documents = struct.unpack("<QQ", f.read(16))
        offset = f.tell()
    raw = np.fromfile(f"{base}.idx", dtype=np.uint8)
    sizes = np.frombuffer(raw, dtype=np.int32, count=count, offset=offset)
    pointers = np.frombuffer(raw, dtype=np.int64, count=count, offset=offset + sizes.nbytes)
    index = np.frombuffer(raw, dtype=np.int64, count=documents, offset=offset + sizes.nbytes + pointers.nbytes)
    assert offset + sizes.nbytes + pointers.nbytes + index.nbytes == raw.size
    assert (index == np.arange(count + 1)).all()
    data = np.fromfile(f"{base}.bin", dtype=dtype)
    assert data.size == sizes.sum()
    docs = [data[p // data.itemsize : p // data.itemsize + n] for p, n in zip(pointers, sizes)]
    assert (np.concatenate(docs) == data).all() if docs else True
    print(f"{base}: {np.dtype(dtype).name}, {count} documents, {data.size} tokens, sum {int(data.sum(dtype=np.int64))}, "
          f"first {docs[0][:8].tolist() if docs else []}, last {docs[-1][-3:].tolist() if docs else []}")


if len(sys.argv) > 1:
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.idx")):
        check(str(path.with_suffix("")))
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.npy")):
        lengths = np.load(path)
        print(f"{path}: {lengths.dtype}, {lengths.size} lengths, sum {lengths.sum()}")
else:
    write("small16", np.uint16, 8)
    write("small32", np.int32, 4)
    np.save("small.npy", np.array([5, 0, 123456789012], dtype=np.int64))
