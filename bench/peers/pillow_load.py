"""pillow_load.py DATA SOURCE SIZE [WORKERS]: pictures a second of PyTorch's DataLoader with Pillow on the files that DATA was
imported from: read, decode, cut to the box, antialiased resize, mirror, [-1, 1], batches of 32. WORKERS 0 (the default): in
the process itself, without the cost of handing batches over."""
import csv
import os
import random
import sys
import time

import numpy as np
import torch
from PIL import Image

DATA, SOURCE, SIZE = sys.argv[1], sys.argv[2], int(sys.argv[3])
WORKERS = int(sys.argv[4]) if len(sys.argv) > 4 else 0
SECONDS = float(os.environ.get("SECONDS", "5"))
PICTURES = 512
torch.set_num_threads(1)


class Pictures(torch.utils.data.Dataset):
    def __init__(self):
        with open(DATA + "/split.csv", newline="") as file:
            self.rows = [row for row in csv.DictReader(file) if row["split"] == "train"][:PICTURES]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        row = self.rows[i]
        picture = Image.open(os.path.join(SOURCE, row["file"])).convert("RGB")
        if row["x1"]:
            picture = picture.crop([int(row[side]) for side in ("x1", "y1", "x2", "y2")])
        picture = picture.resize((SIZE, SIZE), Image.BILINEAR)
        if random.random() < 0.5:
            picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
        return pixels.float().div_(127.5).sub_(1)


loader = torch.utils.data.DataLoader(Pictures(), batch_size=32, shuffle=True, num_workers=WORKERS)
for _ in loader:
    pass
count, start = 0, time.monotonic()
while time.monotonic() - start < SECONDS:
    for batch in loader:
        count += len(batch)
print(f"median {count / (time.monotonic() - start):.1f} img/s")
