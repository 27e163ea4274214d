"""Reads all that a session can read, and says where it found what it was told to look for.

What to look for comes masked, so that the list itself is no find. Its own process is left out: it
has to know what it looks for.
"""

import array
import itertools
import json
import os
import stat
import subprocess
import time

MASK = 0x5A
CHUNK = 1 << 20
OVERLAP = 256
PAGE = os.sysconf("SC_PAGE_SIZE")

with open("needles.json") as file:
    told = json.load(file)
needles = {name: bytes(b ^ MASK for b in bytes.fromhex(text)) for name, text in told["needles"].items()}
# What an agent holds instead of a key: found in its own environment, if this looks where it says.
if placeholder := os.environ.get("ANTHROPIC_AUTH_TOKEN"):
    needles["placeholder"] = placeholder.encode()
longest = max(map(len, needles.values()))
assert longest <= OVERLAP
found = {name: [] for name in needles}
read = {"files": 0, "processes": 0, "memory": 0}


def search(place, chunks):
    """Whether anything was read; notes what is in the chunks, which follow one another."""
    tail, some = b"", False
    missing = dict(needles)
    for chunk in chunks:
        some = some or bool(chunk)
        text = tail + chunk
        for name in [name for name, needle in missing.items() if needle in text]:
            found[name].append(place)
            del missing[name]
        tail = text[-OVERLAP:]
    return some


def chunks(path):
    # Not blocking: a pipe that somebody left lying about must not stop this.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def attempt(place, source):
    try:
        return search(place, source)
    except OSError:
        return False


def is_fresh_file(path, follow):
    """Regular, and changed since the secrets were made: what is older cannot hold them."""
    try:
        about = os.stat(path, follow_symlinks=follow)
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and about.st_ctime >= told["since"]


def files():
    for folder, folders, names in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in ("proc", "sys")]
        for name in names:
            path = os.path.join(folder, name)
            if is_fresh_file(path, follow=False):
                read["files"] += attempt(path, chunks(path))


def regions(pid):
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            span, rights = line.split()[:2]
            if rights.startswith("r"):
                yield tuple(int(part, 16) for part in span.split("-"))


def pages(pid, start, end):
    """Runs of pages in a region that are in memory or swapped out: the others hold nothing, or a file's."""
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        file.seek(start // PAGE * 8)
        entries = array.array("Q", file.read((end - start) // PAGE * 8))
    # The two highest bits of each entry; most entries of a large region are zero.
    number = 0
    for there, run in itertools.groupby(entries, key=lambda entry: entry >> 62 != 0):
        length = sum(1 for _ in run)
        if there:
            yield start + number * PAGE, start + (number + length) * PAGE
        number += length


def memory(pid):
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for region in list(regions(pid)):
            for at, end in pages(pid, *region):
                while at < end:
                    try:
                        chunk = os.pread(descriptor, min(CHUNK, end - at), at)
                    except OSError:
                        chunk = b""
                    read["memory"] += len(chunk)
                    yield chunk
                    # A page that nobody can read, such as the kernel's clock: the next one may be.
                    at += len(chunk) or PAGE
    finally:
        os.close(descriptor)


def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        for name in ("environ", "cmdline", "maps"):
            read["processes"] += attempt(f"/proc/{pid}/{name}", chunks(f"/proc/{pid}/{name}"))
        attempt(f"/proc/{pid}/mem", memory(pid))
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for descriptor in descriptors:
            path = f"/proc/{pid}/fd/{descriptor}"
            if is_fresh_file(path, follow=True):
                attempt(path, chunks(path))


def main():
    began = time.monotonic()
    # What this would find of a process that was careless.
    with open("canary") as file:
        canary = file.read().strip()
    careless = subprocess.Popen(["sleep", "600"], env={"CANARY": canary}, stdin=subprocess.DEVNULL)
    try:
        files()
        processes()
    finally:
        careless.kill()
        careless.wait()
    report = {"found": found, "read": read, "seconds": round(time.monotonic() - began, 1)}
    with open("sweep.json", "w") as file:
        json.dump(report, file)
    print("swept", json.dumps(read))


main()
