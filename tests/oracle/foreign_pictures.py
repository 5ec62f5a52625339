"""foreign_pictures.py: TIFF, BMP, GIF and AVIF as Pillow reads them, against marque-pictures. Prints TAP.

Files of tests/foreignfile.py must be equal, but for 16-bit TIFF (1 of 255: libtiff rounds, Pillow cuts) and 16-bit BMP (8:
Pillow leaves the low bits empty). Files that Pillow writes itself, packed in all its ways, must be equal too. AVIF of soft colours may differ by 4 (two
ways from halved YCbCr to RGB; where colours change with each pixel they differ by much more). Pillow has no HEIC.
"""
import io
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from foreignfile import bmp, gif, shades, tiff  # noqa: E402
from marque import ROOT  # noqa: E402
from tap import Tap  # noqa: E402

import numpy as np  # noqa: E402
from PIL import Image, ImageOps  # noqa: E402

DECODER = Path(os.environ.get("MARQUE_BIN") or ROOT / "build/release/marque").parent / "marque-pictures"


def ours(data):
    """[height, width, channels], or the sentence."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        run = subprocess.run([DECODER, "pixels", "it"], stdin=file, capture_output=True, check=False)
    if run.returncode:
        return run.stderr.decode()
    _, width, height, channels, _ = struct.unpack("5I", run.stdout[:20])
    return np.frombuffer(run.stdout[20:], np.uint8).reshape(height, width, channels)


def compare(tap, name, data, tolerance=0):
    mine = ours(data)
    if isinstance(mine, str):
        tap.check(name, False, mine)
        return
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode == "I;16":  # grey of 16 bits: the high byte
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    theirs = np.asarray(image.convert("RGBA" if mine.shape[2] == 4 else "RGB"))
    off = np.abs(mine.astype(int) - theirs)
    if mine.shape[2] == 4 and off.shape == mine.shape:
        off = off * (theirs[..., 3:] > 0)  # what cannot be seen has no colour
    tap.check(name, mine.shape == theirs.shape and off.max() <= tolerance,
              f"{mine.shape} {theirs.shape}, off by {off.max() if mine.shape == theirs.shape else '?'}")


def saved(image, *args, **how):
    file = io.BytesIO()
    image.save(file, *args, **how)
    return file.getvalue()


def main():
    tap = Tap()
    if not DECODER.exists():
        tap.skip("foreign pictures", "built without MARQUE_FOREIGN_PICTURES")
        return tap.done()
    rgb = shades(61, 47)
    few = [[((x * 3 + y) % 2 * 255, 40, 90) for x in range(61)] for y in range(47)]
    for turn in range(1, 9):
        compare(tap, f"tiff orientation {turn}", tiff(rgb, turn=turn))
    for order in "<>":
        compare(tap, f"tiff {order}", tiff(rgb, order=order))
    for how in ({}, {"bits": 32}, {"top_down": True}, {"core": True}):
        compare(tap, f"bmp {how}", bmp(rgb, **how))
    for bits in (1, 4, 8):
        compare(tap, f"bmp {bits}", bmp(few, bits=bits))
    compare(tap, "bmp 16", bmp(rgb, bits=16), 8)
    compare(tap, "gif", gif(shades(61, 47, levels=3)))
    compare(tap, "gif interlaced", gif(shades(61, 47, levels=3), interlaced=True))
    photo = Image.fromarray(np.array(rgb, np.uint8))
    for packing in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd"):
        compare(tap, f"tiff packed with {packing}", saved(photo, "TIFF", compression=packing))
    for mode in ("1", "L", "P", "RGBA", "CMYK"):
        compare(tap, f"tiff of mode {mode}", saved(photo.convert(mode), "TIFF"))
    compare(tap, "gif by Pillow", saved(photo.quantize(64), "GIF"))
    soft = Image.fromarray(np.array([[(x * 2, 255 - y * 2, x + y) for x in range(120)] for y in range(90)], np.uint8))
    compare(tap, "avif", saved(soft, "AVIF", quality=90), 4)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
