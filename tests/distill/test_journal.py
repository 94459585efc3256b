"""The lines of a journal: what is a record, what is the torn end of one, and what is neither."""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import journal
from rad_fast.distill.journal import Journal, begun, packed, parsed, torn, unpacked


def line(text: str) -> bytes:
    return f"{zlib.crc32(text.encode()):08x} {text}".encode()


def test_a_record_is_a_dictionary_with_a_kind_and_the_right_check_sum() -> None:
    assert parsed(line('{"kind":"run","a":1}')) == {"kind": "run", "a": 1}
    for text in ('{"a":1}', '["kind"]', '"kind"', "{", ""):
        assert parsed(line(text)) is None
    whole = line('{"kind":"run"}')
    for wrong in (whole[1:], b"0" * 8 + whole[8:], whole.replace(b" ", b""), whole + b" ", whole.upper()):
        assert parsed(wrong) is None


def test_every_beginning_of_a_record_may_be_torn_and_other_texts_are_not() -> None:
    whole = line('{"kind":"answers","points":[1]}')
    for length in range(len(whole) + 1):
        assert torn(whole[:length]), whole[:length]
    for other in (
        b"g",
        b"0123456g",
        b"012345678",
        b"01234567{",
        b'01234567 {"x',
        b"01234567  ",
        b"01234567 x",
        b"hello",
    ):
        assert not torn(other), other


def test_only_the_beginning_of_a_run_begins_a_journal() -> None:
    whole = line('{"kind":"run","seed":1}')
    told = whole.index(b'"run"') + len(b'"run"')
    for length in range(len(whole) + 1):
        assert begun(whole[:length]) is (length >= told), whole[:length]
    assert not begun(line('{"kind":"choice"}'))
    assert not begun(b"x" + whole)


def test_records_are_numbered_kept_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    made = Journal(path)
    assert (made.size, made.id, made.records) == (0, None, [])
    made.begin({"version": 2, "seed": 1})
    assert len(made.id or "") == 16
    made.append("choice", points=[1, 2])
    assert made.size == path.stat().st_size
    assert made.id == made.records[0]["id"]  # of the run, whatever came after
    made.release()
    made.release()  # as often as one likes
    again = Journal(path)
    assert again.records == made.records
    assert again.id == made.id
    assert [record["points"] for record in again.of("choice")] == [[1, 2]]
    again.begin({"version": 2, "seed": 1})
    assert len(again.records) == 2
    again.release()
    with pytest.raises(RuntimeError, match="journal: expected to be held while a record is appended"):
        again.append("choice")


def test_the_end_of_a_line_that_was_not_written_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = line('{"kind":"run"}') + b"\n" + line('{"kind":"choice"}')
    for left_over, records in ((b"", 2), (b"\n", 2), (b"\n0123", 2), (b"\n" + line('{"kind":"a"}'), 3)):
        path.write_bytes(whole + left_over)
        read = Journal(path)
        assert len(read.records) == records
        assert path.read_bytes().endswith(b"}\n")
        assert read.size == path.stat().st_size
        read.release()


def test_in_memory_nothing_is_written_and_nobody_is_told_apart() -> None:
    made = Journal(None)
    made.begin({"seed": 1})
    assert (made.id, made.size, made.records) == (None, 0, [{"kind": "run", "seed": 1}])
    made.append("choice")
    with pytest.raises(Exception, match="run"), made.held():
        pass
    made.release()
    with made.held():
        pass
    copied = pickle.loads(pickle.dumps(made))
    with copied.held():
        assert copied.records == made.records


def test_others_may_read_a_journal_as_any_file_of_this_user(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        Journal(tmp_path / "journal").release()
    finally:
        os.umask(old)
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o644


def test_a_journal_that_grew_meanwhile_is_not_gone_on_with(tmp_path: Path) -> None:
    made = Journal(tmp_path / "journal")
    made.begin({"seed": 1})
    made.release()
    with open(tmp_path / "journal", "ab") as file:
        file.write(line('{"kind":"choice"}') + b"\n")
    with pytest.raises(Exception, match="journal"), made.held():
        raise AssertionError("it was gone on with")
    Journal(tmp_path / "journal").release()  # and it is free


@pytest.mark.parametrize("shape", [(0, 3), (2, 3), (4,), (2, 1, 2)])
@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i8", "|b1", ">f4"])
def test_arrays_come_back_to_the_last_bit_and_can_be_written_to(shape: tuple[int, ...], dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = unpacked(packed(values[::-1]))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values[::-1])
    found[...] = 0


def test_a_file_of_any_length_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"0123456789" * 10)
    read = os.read
    monkeypatch.setattr(os, "read", lambda file, size: read(file, 7))  # as a system may
    file = os.open(tmp_path / "x", os.O_RDONLY)
    os.lseek(file, 5, os.SEEK_SET)
    assert journal.contents(file) == b"0123456789" * 10
    os.close(file)
