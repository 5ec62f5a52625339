"""truncated.py: pictures that are cut short, as marque salvages them and as Pillow loads them with LOAD_TRUNCATED_IMAGES. Prints TAP.

Each is cut at 23 places. Baseline JPEG and PNG, interlaced or not, must be equal byte for byte wherever marque takes them. Differences
that are known:
- less than a first row of blocks (of pixels, of PNG): marque refuses it, Pillow shows grey or black;
- progressive JPEG: libjpeg-turbo smooths what lacks coefficients, 3.2 (in Pillow) otherwise than 2.1.5 (Debian's): up to SMOOTHED
  grey levels apart, less than one on average. Cut in the head of a scan Pillow shows black, marque the scans before it;
- PNG with a palette: where rows are missing Pillow shows the palette's first colour, marque black, or the background;
- WebP: Pillow loads none that is cut.
"""
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import ROOT  # noqa: E402
from tap import Tap  # noqa: E402

CUTS, SMOOTHED = 24, 12
PROBE = Path(os.environ.get("MARQUE_BIN") or ROOT / "build/release/marque").parent / "tests/prepare_probe"


def ours(path):
    """[height, width, 3], or None where nothing is salvaged."""
    run = subprocess.run([PROBE, "salvage", path], capture_output=True, check=False)
    if run.returncode:
        return None
    head, _, body = run.stdout.partition(b"\n")
    width, height, _ = map(int, head.split())
    return np.frombuffer(body, np.uint8).reshape(height, width, 3)


def theirs(data):
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError):
        return None
    if image.mode.startswith("I;16"):  # grey of 16 bits: the high byte
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.asarray(image.convert("RGB"))


def photo():
    """Soft colours with an edge, so that all kinds of coefficients occur."""
    y, x = np.mgrid[0:150, 0:200]
    planes = [(np.sin(x / 9 + k) * 60 + np.cos(y / (7 + k)) * 50 + (x > 3 * y) * 40 + 100).clip(0, 255) for k in range(4)]
    return np.stack(planes, -1).astype(np.uint8)


def files():
    """(name, bytes)."""
    pixels = photo()
    rgb, rgba, grey = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels), Image.fromarray(pixels[..., 0])
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    for name, image, kind, how in (("baseline", rgb, "JPEG", {"quality": 85}), ("baseline 4:4:4", rgb, "JPEG", {"subsampling": 0}),
                                   ("grey baseline", grey, "JPEG", {}), ("CMYK", rgba.convert("RGB").convert("CMYK"), "JPEG", {}),
                                   ("restarts", rgb, "JPEG", {"restart_marker_rows": 2}),
                                   ("progressive", rgb, "JPEG", {"progressive": True}),
                                   ("RGB", rgb, "PNG", {}), ("RGBA", rgba, "PNG", {}), ("grey", grey, "PNG", {}),
                                   ("16 bits", deep, "PNG", {})):
        file = io.BytesIO()
        image.save(file, kind, **how)
        yield f"{kind} {name}", file.getvalue()
    golden = ROOT / "tests/golden/pixels"
    for name in ("rgb-interlaced.png", "rgba-interlaced.png", "grey-8.png", "rgba-16.png", "rgb-restarts.jpg"):
        yield name, (golden / name).read_bytes()


def main():
    tap = Tap()
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut"
        for name, data in files():
            off, black = [], 0
            for part in range(1, CUTS):
                path.write_bytes(data[:len(data) * part // CUTS])
                mine, his = ours(path), theirs(path.read_bytes())
                if mine is None:
                    continue
                if "progressive" in name and his is not None and not his.any():
                    black += 1
                    continue
                off.append(np.abs(mine.astype(int) - his) if his is not None and his.shape == mine.shape else np.full(1, 256))
            most, mean = max(o.max() for o in off), max(o.mean() for o in off)
            good = most <= SMOOTHED and mean < 1 and black <= 4 if "progressive" in name else most == 0
            tap.check(f"{name}: {len(off)} cuts", good and len(off) >= 8, f"off by {most}, {mean:.3f} on average; {black} black")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
