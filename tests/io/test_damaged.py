"""Files on which the libraries under scae would not end, or take all memory, are refused before those read them."""

from __future__ import annotations

import json
import warnings

import h5py
import numcodecs
import numpy as np
import pytest
import zarr
from test_hostile import h5ad

from scae.cli.files import read, write
from scae.errors import ModelFileError
from scae.io.heaps import refuse_endless
from scae.io.links import opened
from scae.pp import preprocess_file


def test_a_heap_without_end_is_refused(tmp_path):
    path = h5ad(tmp_path)
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL\x01\0\0\0") + 16
    raw[heap : heap + 16] = bytes(16)
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=r"heap of texts at byte .* has no end"):
        read(str(path))


def test_the_mark_of_a_heap_among_values_is_none(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.frombuffer(b"GCOL\x01\0\0\0" + b"\xff" * 40, np.uint8)
        file["x"].attrs["text"] = "text"
    refuse_endless(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"].attrs["text"] == "text"


@pytest.fixture
def texts(tmp_path):
    """The chunk of texts of a store."""
    adata = read(str(h5ad(tmp_path)))
    write(adata, str(tmp_path / "a.zarr"))
    return tmp_path / "a.zarr" / "var" / "_index" / "0"


def test_a_truncated_chunk_is_refused(texts):
    texts.write_bytes(texts.read_bytes()[:13])
    with pytest.raises(ModelFileError, match=r"/var/_index: 0 is 13 bytes, and declares"):
        read(str(texts.parents[2]))


def test_more_texts_than_an_array_has_are_refused(texts):
    codec = numcodecs.get_codec(json.loads((texts.parent / ".zarray").read_text())["compressor"])
    data = bytearray(codec.decode(texts.read_bytes()))
    data[:4] = (10**9).to_bytes(4, "little")
    texts.write_bytes(codec.encode(bytes(data)))
    with pytest.raises(ModelFileError, match="0 declares 1000000000 texts; allowed: 40"):
        read(str(texts.parents[2]))


def test_metadata_that_are_no_json_are_refused(texts):
    for name in (".zmetadata", ".zgroup"):
        (texts.parents[2] / name).write_text('{"zarr_format": 2')
    with pytest.raises(ModelFileError, match="cannot be read"), opened(texts.parents[2], loaded=False):
        pass


def test_a_store_without_damage_is_read(texts):
    assert zarr.open_group(texts.parents[2], mode="r")["var/_index"].shape == (40,)
    assert read(str(texts.parents[2])).shape == (60, 40)


def test_a_table_of_another_length_is_one_error_without_a_warning(tmp_path):
    path = h5ad(tmp_path)
    with h5py.File(path, "a") as file:
        for key in [key for key in file["obs"] if key != file["obs"].attrs["_index"]]:
            del file["obs"][key]
        file["obs"].attrs["column-order"] = np.array([], dtype=h5py.string_dtype())
        index = file["obs"].attrs["_index"]
        attributes = dict(file["obs"][index].attrs)
        del file["obs"][index]
        file["obs"].create_dataset(index, data=np.array([], np.int64)).attrs.update(attributes | {"encoding-type": "array"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelFileError, match="obs has 0 rows and var has 40"):
            preprocess_file(path, tmp_path / "out.h5ad")
