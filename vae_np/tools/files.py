"""Files that are written whole or not at all, and read without trust."""

import contextlib
import glob
import os
import secrets
import time
import warnings
import zipfile

import numpy as np

DEFLATE = 1040  # no zip or gzip file inflates by more: one that declares more is not whole


def write_atomically(path, write):
    """write(file) under a name of its own beside `path`, flushed to disk, then renamed to `path`.

    A killed writer leaves `path`.….tmp; who writes here more than a minute later removes it.
    """
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path}: not written, {reason}; what was there before is kept") from None
    finally:
        for left in glob.glob(f"{glob.escape(str(path))}.{'[0-9a-f]' * 8}.tmp"):
            with contextlib.suppress(OSError):
                if left == temporary or time.time() - os.path.getmtime(left) > 60:
                    os.unlink(left)


def read_npz(path):
    """{name: array} of an .npz file, by numpy's own reader, without pickles.

    Memory grows with what is there, whatever the file declares. Raises ValueError in one line that
    names the file where it is not a whole .npz of plain arrays.
    """
    arrays, where = {}, ""
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with zipfile.ZipFile(file) as archive:
                declared = sum(info.file_size for info in archive.infolist())
                if declared > DEFLATE * os.fstat(file.fileno()).st_size:
                    raise ValueError(f"it declares {declared} bytes, more than it can hold")
                for info in archive.infolist():
                    name, where = info.filename.removesuffix(".npy"), f"{info.filename!r}: "
                    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise ValueError("compressed by another method than deflate")
                    if name in arrays:
                        raise ValueError("two arrays of one name")
                    with archive.open(info) as member:
                        arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
                        if member.read(1):  # at its end, the checksum is compared
                            raise ValueError("longer than its header says")
        except Exception as error:  # on bytes that lie, the parsers raise a dozen different kinds
            why = one_line(error, where)
            raise ValueError(f"{path}: expected a whole .npz file of plain arrays; {why}") from None
    return arrays


def one_line(error, where=""):
    """What an error says, after `where`, in one line of at most 200 characters."""
    return " ".join(f"{where}{str(error) or type(error).__name__}".split())[:200]
