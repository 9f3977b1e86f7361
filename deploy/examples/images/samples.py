#!/usr/bin/python3
"""Makes images to try the pipeline with: samples.py FOLDER COUNT. And broken.jpg, which is none."""
import sys
from pathlib import Path

from PIL import ExifTags, Image

folder, count = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
(folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and then nothing of the kind")
description = {name: tag for tag, name in ExifTags.TAGS.items()}["ImageDescription"]
for number in range(count):
    # The colour tells the number.
    image = Image.new("RGB", (100 + number % 100, 80), (number % 256, number // 256, 128))
    exif = Image.Exif()
    exif[description] = f"sample {number}"
    image.save(folder / f"{number}.{'jpg' if number % 2 else 'png'}", exif=exif)
