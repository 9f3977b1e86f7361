#!/usr/bin/python3
"""The four stages of the pipeline `images`. Needs Pillow (Debian: python3-pil).

An item is the name of a file in the folder IMAGES; results go to the folder OUT. batchd starts this once for a batch and
stage, hands the batch over on standard input and keeps each line of standard output as it arrives, so that the batch of
a killed worker goes on after its last image. Whatever runs again writes the same file again, in one rename.
"""
import io
import json
import os
import sys
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, ImageStat

IMAGES = Path(os.environ["IMAGES"]).resolve()
OUT = Path(os.environ["OUT"])


class Refused(Exception):
    """No other try will help."""


def say(**line):
    # Flushed, or a kill would take with it what was done already.
    print(json.dumps(line), flush=True)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    # The fence is this worker's alone: one that was taken for dead and is not writes to another file.
    temporary = path.with_name(f".{path.name}.{os.environ['BATCHD_FENCE']}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def find(name):
    # Entries come from outside, and `../../etc/passwd` is a name, too.
    path = (IMAGES / name).resolve()
    if IMAGES not in path.parents:
        raise Refused("is not in the folder of images")
    return path


def check(path):
    # What fails here, a disk or a file that is not there yet, may be better next time; a broken file never will.
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return {"format": image.format, "bytes": len(content)}
    except Exception as error:  # Pillow has many kinds for it.
        raise Refused(f"is no image: {type(error).__name__}") from error


def thumbnail(path):
    with Image.open(path) as image:
        small = ImageOps.exif_transpose(image)
        small.thumbnail((64, 64))
        content = io.BytesIO()
        small.convert("RGB").save(content, "JPEG")
    target = OUT / "thumbnails" / f"{path.relative_to(IMAGES)}.jpg"
    write(target, content.getvalue())
    return {"thumbnail": str(target.relative_to(OUT)), "thumbnail_size": small.size}


def describe(path):
    with Image.open(path) as image:
        red, green, blue = (round(mean) for mean in ImageStat.Stat(image.convert("RGB")).mean)
        exif = {ExifTags.TAGS.get(tag, str(tag)): str(value) for tag, value in image.getexif().items()}
        return {"size": image.size, "mode": image.mode, "exif": exif, "average": f"#{red:02x}{green:02x}{blue:02x}"}


def for_each(work):
    def stage(call):
        for name in call["items"]:
            try:
                say(item=name, output=work(find(name)))
            except Refused as error:
                say(item=name, error=f"{name} {error}", retry=False)
            except OSError as error:
                say(item=name, error=str(error))

    return stage


def record(call):
    inputs = call["inputs"]
    images = {
        name: inputs["extraction"]["items"][name] | inputs["metadata"]["items"][name] for name in call["items"]
    }
    record = {"batch": call["batch"], "images": images}
    write(OUT / "batches" / f"{call['batch']}.json", json.dumps(record, indent=1).encode())


STAGES = {
    "setup": for_each(check),
    "extraction": for_each(thumbnail),
    "metadata": for_each(describe),
    "persistence": record,
}
call = json.load(sys.stdin)
STAGES[call["stage"]](call)
