"""Mutants that mean the same as the original, and why: ``tests/mutants.py`` does not draw them.

Of each file: the line, and what it becomes ("": whatever is changed in it). Spaces do not count.
"""

from __future__ import annotations

AT_ONCE = "how much is read, written, sorted or looked at at once: the result does not depend on it"
LOOK = "how many are looked at, of which a few tell"
HOW = "how it is held in memory or read: the numbers are the same"
STEPS = "how the solver goes about it: none of it changes the answer"
HEADER = "NumPy leaves room for the number of rows: the length of the header is always the same"
NAME = "a number of a version, or the length of a random name or of a digest: another does as well"
BEYOND = "used only where the system lacks the flag"

OPENED = 'file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)'
RUN = 'identity = {} if self.path is None else {"id": secrets.token_hex(8)}'
LOADED = 'held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)'
SIZE = "size = max(1, BATCH_BYTES // (self.classes * 8)) if self.classes else 1  # 1: to see how long a list is"
DIGEST = "digest, size = hashlib.blake2b(digest_size=16), 0"
GOLDEN = "SPREAD = 0x9E3779B97F4A7C15  # 2**64 / the golden ratio: its multiples fill a range evenly, without a period"
HARD = 'targets = torch.from_numpy(logits.argmax(1)) if labels == "hard" else soft_targets(logits, temperature)'
KINDS = "the other kinds that come here are on the other side of it by letters"
WANTED = "wanted = points[~(answers.known[points] | answers.skipped[points])]"
FURTHER = "return Bounds(max(min(low) - 1, limits.low), min(max(high) + 1, limits.high), min(bottom), max(top)).box()"
SPREAD_OUT = "return math.sqrt(float(np.cumsum((values - mean) * (values - mean))[-1])) + 1.0"
AHEAD = "self.grow(max(needed, self.capacity + min(self.capacity, MOST_AHEAD)))"
ABOUT = 'about = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows,)}'

EQUAL: dict[str, dict[tuple[str, str], str]] = {
    "rad_fast/calibration/calibrator.py": {
        (
            "if (seen.student is None and seen.agreement is None) or right.min() == right.max():",
            "if (seen.student is None and seen.agreement is None) or right.min() >= right.max():",
        ): "the least is never above the largest",
    },
    "rad_fast/calibration/neighbours.py": {
        ("BLOCK = 1 << 22  # cosines at a time", ""): AT_ONCE,
    },
    "rad_fast/distill/journal.py": {
        ("while part := os.read(file, 1 << 24):", ""): AT_ONCE,
        (RUN, RUN.replace("8", "9")): NAME,
        (RUN, RUN.replace("8", "7")): NAME,
        (OPENED, OPENED.replace(", 0)", ", 1)")): BEYOND,
        (OPENED, OPENED.replace(", 0)", ", -1)")): BEYOND,
        ("except ImportError:  # a system without such locks", ""): BEYOND,
    },
    "rad_fast/distill/ledger.py": {
        (HARD, HARD.replace("==", "<=")): "the other choice comes later by letters",
    },
    "rad_fast/distill/querying.py": {
        ('if kind == "answers":', 'if kind <= "answers":'): KINDS,
        ('elif kind == "skipped":', 'elif kind >= "skipped":'): KINDS,
        (WANTED, WANTED.replace("|", "^")): "who is skipped is not asked again: no point is both",
        (WANTED, WANTED.replace("|", "+")): "a sum of truth values is their or",
    },
    "rad_fast/game/pool.py": {
        (
            "COUNTED = 1 << 20  # points sorted at a time where they are counted: all at once took 26 bytes per point",
            "",
        ): (AT_ONCE),
        ("@lru_cache(maxsize=8)", ""): HOW,
    },
    "rad_fast/game/quotas.py": {
        ("TOGETHER = 1 << 20  # points that a message of many games may hold: 8 MiB", ""): AT_ONCE,
    },
    "rad_fast/game/search.py": {
        ("LOOKED_AT = 64  # points that a median is taken of", ""): STEPS,
        ("if len(points.gain) <= enough > 0:", "if len(points.gain) < enough > 0:"): STEPS,
        ("u = u if u < high else u - 1", "u = u if u != high else u - 1"): "no median of a range is above its end",
    },
    "rad_fast/game/solver.py": {
        ("SAMPLE = 4_000", ""): STEPS,
        ("DIRECT = 10_000", ""): STEPS,
        ("SPARED, MOST_SAMPLED = 5_000, 20_000", ""): STEPS,
        (FURTHER, FURTHER.replace("min(low) - 1", "min(low) + 1")): STEPS,
        (SPREAD_OUT, SPREAD_OUT.replace("1.0", "0.0")): STEPS,
        (SPREAD_OUT, SPREAD_OUT.replace("1.0", "2.0")): STEPS,
        (
            "for y in (-slope, slope) if mistakes else (0,):  # without mistakes the price is 1, whatever the sample",
            "",
        ): STEPS,
    },
    "rad_fast/inputs/arrays.py": {
        (
            'if tensor.device.type != "cpu":',
            'if tensor.device.type > "cpu":',
        ): "every other device comes later by letters",
        ("@functools.lru_cache(maxsize=64)", ""): HOW,
    },
    "rad_fast/inputs/logprobs.py": {
        ("while len(places) < most:", "while len(places) != most:"): "there are never more, and one is added at a time",
    },
    "rad_fast/inputs/teachers.py": {
        (
            'elif dtype == "float16":',
            'elif dtype <= "float16":',
        ): "of the four dtypes that come so far no other is before it",
    },
    "rad_fast/storage/readers/ahead.py": {
        ("PAGE = 4096", ""): AT_ONCE,
    },
    "rad_fast/storage/readers/archives.py": {
        ("start = file.read(min(info.file_size, 1 << 16))", ""): AT_ONCE,
        (LOADED, LOADED.replace("mmap=True", "mmap=False")): HOW,
    },
    "rad_fast/storage/readers/arrow.py": {
        ("BATCH_BYTES = 16 << 20  # decoded at a time", ""): AT_ONCE,
        (SIZE, ""): AT_ONCE,
        ("self.file = parquet.ParquetFile(path, memory_map=True)", ""): HOW,
    },
    "rad_fast/storage/readers/formats.py": {
        ("head = file.read(8)", ""): LOOK,
    },
    "rad_fast/storage/readers/identity.py": {
        ("PIECE, PIECES = 4096, 64  # bytes that are read together, and how many such pieces of a file", ""): LOOK,
        ("MOST = 1024  # pieces of a folder", ""): LOOK,
        (GOLDEN, ""): LOOK,
        (DIGEST, DIGEST.replace("16", "15")): NAME,
        (DIGEST, DIGEST.replace("16", "17")): NAME,
        ("digest = hashlib.blake2b(digest_size=8)", ""): LOOK,
    },
    "rad_fast/storage/readers/saved.py": {
        ("AT_ONCE = 1000  # rows in which a list is looked for", ""): AT_ONCE,
        ("whole = datasets.load_from_disk(str(path), keep_in_memory=False)", ""): HOW,
    },
    "rad_fast/storage/readers/text.py": {
        ("LOOKED_AT = 100  # rows, for an index among the columns", ""): LOOK,
    },
    "rad_fast/storage/readers/zarrays.py": {
        ("MOST = 1 << 28  # bytes of a shard's index: 16 million chunks in one file", ""): AT_ONCE,
    },
    "rad_fast/storage/workdir.py": {
        ('OFFSET = len(header(0)["gain"])', ""): HEADER,
        ("SUMMED = 1 << 16  # items looked at together: they stay within the caches", ""): AT_ONCE,
        ("MOST_AHEAD = 16 << 20  # rows made room for at once, beyond those that are needed", ""): AT_ONCE,
        ("zeros = bytes(1 << 20)", ""): AT_ONCE,
        (AHEAD, ""): AT_ONCE,
        ("if needed > self.capacity:", "if needed != self.capacity:"): AT_ONCE,
        (ABOUT, ABOUT.replace("False", "True")): "an array of one dimension is the same in either order",
        ("self.rows = 0", ""): "overwritten before it is read",
        ("VERSION = 3  # of the manifest", ""): NAME,
    },
}
