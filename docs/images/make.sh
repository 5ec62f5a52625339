#!/usr/bin/env bash
# Makes README's pictures from drawn beetles. Needs a build, its weights (marque pull xception), chromium, and a Python with
# Pillow.
#
# usage: docs/images/make.sh [PYTHON]     (default: that of scripts/test --oracle)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${1:-$root/.venv/oracle/bin/python}
marque=$root/build/release/marque
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" "$here/beetles.py" pictures
"$marque" import pictures -o beetles.mq
"$marque" scan beetles.mq -o report
chromium --headless --no-sandbox --hide-scrollbars --window-size=880,835 --screenshot=scan.png "file://$work/report/scan.html"
"$marque" inspect beetles.mq --batch 16 --augment strong -o sheet.jpg
"$python" - "$here" <<'PYTHON'
import sys
from PIL import Image
sheet = Image.open("sheet.jpg")
sheet.resize((1200, 1200 * sheet.height // sheet.width), Image.LANCZOS).save(f"{sys.argv[1]}/augment.jpg", quality=85)
Image.open("scan.png").quantize(128).save(f"{sys.argv[1]}/scan.png", optimize=True)
PYTHON
