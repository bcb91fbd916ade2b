"""What a file is that was given for data and is none: by how it begins, whatever its name; and what to do with it."""

import contextlib
import gzip
import itertools
import os
import re
import zipfile

NPZ, AGAIN, UNPACK = "an .npz file", "fetch it again", "unpack it, and name what comes out"


def _python(images, *modules):
    """The lines of Python that make an .npz of the images."""
    return (f"import {', '.join(('numpy', *modules))}{{gz}}; x = {images}; "
            "numpy.savez('data.npz', x_train=x[1000:], x_test=x[:1000])")


def _csv(header):
    return (f"where column 0 is the label: import numpy{{gz}}; a = numpy.loadtxt({{file}}, 'u1', delimiter=',', "
            f"skiprows={header}); x, y = a[:, 1:], a[:, 0]; "
            "numpy.savez('data.npz', x_train=x[1000:], y_train=y[1000:], x_test=x[:1000], y_test=y[:1000])")


KINDS = (  # how it begins, unpacked if it is gzipped (of a zip file its names); what that is; what to do
    (rb"\Z", "an empty file", AGAIN),
    (rb"version https://git-lfs", "a git-lfs pointer, not the file itself", "'git lfs pull' fetches that"),
    (rb"(?i)\W*<(!doctype html|html|head|body)", "an HTML page", f"it came in the file's place: {AGAIN}"),
    (rb"\W*<(\?xml|Error)", "an XML page", f"it came in the file's place, as a server's answer: {AGAIN}"),
    (rb"\0\0\x08[\1-\4]", "one IDX file", "name the folder in which it lies with the others"),
    (rb"\0\0[\x09\x0b-\x0e][\1-\4]", "an IDX file of other numbers than bytes",
     "make bytes of images; move labels away, they may be absent"),
    (rb"zip: .*\.npy(\n|\Z)", NPZ, "name the file, not its folder"),
    (rb"zip: .*data\.pkl|\x80\x02\x8a\nl\xfc", "a PyTorch file", _python("torch.load({file})[0].numpy()", "torch")),
    (rb"zip: ", "a zip archive", UNPACK),
    (rb"PK", "a zip or .npz file that is cut short", AGAIN),
    (rb"\x1f\x8b", "a gzip file that is cut short or altered", AGAIN),
    (rb".{257}ustar", "a tar archive", UNPACK),
    (rb"BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "packed by bzip2, xz, 7-zip, rar or zstd", UNPACK),
    (rb"\x93NUMPY", "a single array, .npy", _python("numpy.load({file})")),
    (rb"MATLAB 5", "a MATLAB file", _python("scipy.io.loadmat({file})['NAME']", "scipy.io")),
    (rb"MATLAB 7|\x89HDF", "an HDF5 file", _python("h5py.File({file})['NAME'][:]", "h5py")),
    (rb"PAR1", "a Parquet file",
     _python("numpy.stack([PIL.Image.open(io.BytesIO(i['bytes'])) for i in pandas.read_parquet({file})['image']])",
             "io", "pandas", "PIL.Image")),
    (rb"\x80[\1-\5]|\(+([dl]p|[cFIS][\w.'-]+\n)|c(numpy|copy_reg)", "a pickle",
     "if you trust it, for it can run anything: import numpy, pickle{gz}; a, *_, b = pickle.load({open}, "
     "encoding='latin1'); numpy.savez('data.npz', x_train=a[0], y_train=a[1], x_test=b[0], y_test=b[1])"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0{4}|II\*\0|MM\0\*|P[1-6]\s", "a picture (PNG, JPEG, ...)",
     _python("numpy.stack([PIL.Image.open(f).convert('L') for f in sorted(glob.glob({alike}))])", "glob", "PIL.Image")),
    (rb"(?i)\s*(%|@relation)", "an ARFF file",
     _python("numpy.array([[*row][:-1] for row in scipy.io.arff.loadarff({file})[0]])", "scipy.io.arff")),
    (rb"\s*[\[{]\s*[\[{\"\d]", "a JSON file", _python("numpy.array(json.load(open({file})))", "json")),
    (rb"[-+.\d]+ \d+:", "a libsvm file",
     _python("sklearn.datasets.load_svmlight_file({file})[0].toarray()", "sklearn.datasets")),
    (rb"\s*[-+.\d]+(e[-+]\d+)?[ \t]+[-+.\d]+(e|\s|\Z)", "numbers as text", _python("numpy.loadtxt({file})")),
    (rb"[-+.\d]+\s*,", "a .csv table", _csv(header=0)),
    (rb"[-+\w\"'#.]+,[-+\w\"'#.]+[,\r\n]", "a .csv table", _csv(header=1)),
)


def describe(path):
    """(what the file is, what to do with it)."""
    head, gzipped = _head(path)
    for pattern, what, advice in KINDS:
        if re.match(pattern, head, re.DOTALL):
            name = repr(os.fspath(path))
            alike = repr(os.path.join(os.path.dirname(path), "*" + os.path.splitext(path)[1]))
            file = f"gzip.open({name})" if gzipped else name
            return what + ", gzipped" * gzipped, advice.format(
                gz=", gzip" * gzipped, file=file, open=file if gzipped else f"open({name}, 'rb')", alike=alike)
    return f"of a kind not known here, beginning with {head[:8]!r}", "make an .npz of it"


def first(folder):
    """The names of a folder's first files, and what the first of them is."""
    os.listdir(folder)  # an OSError where it may not be read, which os.walk passes over
    paths = (os.path.join(place, name) for place, _, names in os.walk(folder)
             for name in sorted(names) if not name.startswith("."))
    held = [*itertools.islice(paths, 3)]
    return ([os.path.relpath(path, folder) for path in held]
            + ["the first is {}; {}".format(*describe(path)) for path in held[:1]])


def _head(path):
    """How the file begins, as the table has it, and whether it is gzipped."""
    with open(path, "rb") as file:
        head = file.read(512)
    with contextlib.suppress(Exception):  # on bytes that lie, the two parsers raise a dozen different kinds
        if head[:2] == b"PK":
            with zipfile.ZipFile(path) as archive:
                return b"zip: " + "\n".join(archive.namelist()).encode(), False
        if head[:2] == b"\x1f\x8b":
            with gzip.open(path) as file:
                return file.read(512), True
    return head, False
