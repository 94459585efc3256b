"""One matrix, written in every format that is read."""

from __future__ import annotations

import numpy as np
import pytest

N, C = 1000, 6
LOGITS = np.random.default_rng(4).normal(0, 3, (N, C)).astype(np.float32)


def fixed(rows):
    pa = pytest.importorskip("pyarrow")
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows).reshape(-1)), rows.shape[1])


def table(rows, column="logits", lists=fixed):
    pa = pytest.importorskip("pyarrow")
    return pa.table({"id": np.arange(len(rows)), column: lists(rows)})


def write_npy(path, rows):
    np.save(path.with_suffix(".npy"), rows)
    return path.with_suffix(".npy")


def write_safetensors(path, rows):
    pytest.importorskip("safetensors.numpy").save_file({"logits": rows}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def write_parquet(path, rows, lists=fixed):
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(table(rows, lists=lists), path.with_suffix(".parquet"), row_group_size=130)
    return path.with_suffix(".parquet")


def write_parquet_lists(path, rows):
    """Lists of no declared length, as most programs write them."""
    pa = pytest.importorskip("pyarrow")
    return write_parquet(path, rows, lambda rows: pa.array(list(rows)))


def write_arrow(path, rows, compression=None):
    pa = pytest.importorskip("pyarrow")
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(str(path.with_suffix(".arrow")), table(rows).schema, options=options) as file:
        file.write_table(table(rows), max_chunksize=150)
    return path.with_suffix(".arrow")


def write_arrow_zstd(path, rows):
    return write_arrow(path, rows, "zstd")


def write_arrow_stream(path, rows):
    pa = pytest.importorskip("pyarrow")
    with pa.ipc.new_stream(str(path.with_suffix(".arrow")), table(rows).schema) as file:
        file.write_table(table(rows), max_chunksize=150)
    return path.with_suffix(".arrow")


def write_zarr(path, rows, version=3):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        str(path.with_suffix(".zarr")), shape=rows.shape, chunks=(170, 4), dtype=rows.dtype, zarr_format=version
    )
    array[:] = rows
    return path.with_suffix(".zarr")


def write_zarr_2(path, rows):
    return write_zarr(path, rows, 2)


def write_zarr_group(path, rows):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path.with_suffix(".zarr")), mode="w")
    group.create_array("logits", data=rows, chunks=(170, 4))
    group.create_array("labels", data=np.arange(len(rows)))
    return path.with_suffix(".zarr")


def write_dataset(path, rows):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"id": datasets.Value("int64"), "logits": datasets.Sequence(datasets.Value("float32"), length=rows.shape[1])}
    )
    data = datasets.Dataset.from_dict({"id": np.arange(len(rows)), "logits": rows.tolist()}, features=features)
    data.save_to_disk(str(path), num_shards=3)
    return path


def write_zarr_sharded(path, rows):
    """Chunks within shards, as Zarr calls them."""
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        str(path.with_suffix(".zarr")), shape=rows.shape, chunks=(50, 3), shards=(300, 6), dtype=rows.dtype
    )
    array[:] = rows
    return path.with_suffix(".zarr")


def write_npz(path, rows):
    np.savez(path.with_suffix(".npz"), logits=rows, labels=np.arange(len(rows)))
    return path.with_suffix(".npz")


def write_npz_packed(path, rows):
    np.savez_compressed(path.with_suffix(".npz"), logits=rows)
    return path.with_suffix(".npz")


def write_hdf5(path, rows):
    with pytest.importorskip("h5py").File(path.with_suffix(".h5"), "w") as file:
        file["logits"] = rows
    return path.with_suffix(".h5")


def write_hdf5_chunks(path, rows):
    with pytest.importorskip("h5py").File(path.with_suffix(".h5"), "w") as file:
        packed = {"chunks": (min(170, len(rows)), 4), "compression": "gzip"} if len(rows) else {}
        file.create_dataset("run/logits", data=rows, **packed)
    return path.with_suffix(".h5")


def write_torch(path, rows):
    torch = pytest.importorskip("torch")
    torch.save({"logits": torch.from_numpy(rows.copy())}, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def write_parquet_columns(path, rows):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {f"class_{at}": rows[:, at] for at in reversed(range(rows.shape[1]))}
    parquet.write_table(
        pa.table({"id": np.arange(len(rows)), **columns}), path.with_suffix(".parquet"), row_group_size=130
    )
    return path.with_suffix(".parquet")


def write_parquet_struct(path, rows):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    struct = pa.StructArray.from_arrays([fixed(rows), pa.array(np.arange(len(rows)))], names=["logits", "id"])
    parquet.write_table(pa.table({"out": struct}), path.with_suffix(".parquet"), row_group_size=130)
    return path.with_suffix(".parquet")


def write_zarr_zip(path, rows):
    zarr = pytest.importorskip("zarr")
    store = zarr.storage.ZipStore(path.with_suffix(".zip"), mode="w")
    zarr.create_array(store, shape=rows.shape, chunks=(170, 4), dtype=rows.dtype)[:] = rows
    store.close()
    return path.with_suffix(".zip")


def write_csv(path, rows):
    head = ",".join(f"class_{at}" for at in range(rows.shape[1]))
    np.savetxt(path.with_suffix(".csv"), rows, delimiter=",", fmt="%.17g", header=head, comments="")
    return path.with_suffix(".csv")


WRITERS = [
    *(write_npy, write_safetensors, write_parquet, write_parquet_lists, write_arrow, write_arrow_zstd),
    *(write_arrow_stream, write_zarr, write_zarr_2, write_zarr_group, write_zarr_sharded, write_dataset),
    *(write_npz, write_npz_packed, write_hdf5, write_hdf5_chunks, write_torch, write_parquet_columns),
    *(write_parquet_struct, write_zarr_zip, write_csv),
]


def name_of(writer):
    return writer.__name__.removeprefix("write_")
