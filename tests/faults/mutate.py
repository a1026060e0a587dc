"""Mutated and odd inputs for every reader: the right answer, or one line.

    python -m tests.faults.mutate --count 2000 [--seed 0] [--reader npz]

Each input is read in a forked child, so that neither a crash, nor a hang over ten seconds, nor more than 2 GiB of new
memory is missed, and a file outside the output folder is noticed.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from bench.utils.errors import BenchError
from tests.faults.reader import Reader
from tests.faults.readers import READERS

SECONDS = 10
BYTES = 2 << 30

_TOKENS = (
    *(b"[" * 5000, b"{" * 70, b'{"a":' * 5000, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\x1b[2J"),
    *(b"../victim", b"/etc/passwd", b"~", b"1e999", b"9" * 5000, b"-1", b"null", b"NaN", b"true", b"no", b"010"),
    *(b"\xed\xa0\x80", b"\\ud800", "\u202e".encode(), b"a" * 300, b",", b'"', b"'", b":", b"- ", b"!!python/none"),
    b"&a [x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n",
    b"? [a]\n: b\n",
)
"""What text formats trip over."""

Mutation = Callable[[bytes, random.Random], bytes]


def _at(content: bytes, rng: random.Random) -> int:
    # Heads and tails hold what formats say of themselves.
    place = rng.random()
    near = min(len(content), 256)
    if place < 0.3:
        return rng.randrange(near + 1)
    return len(content) - rng.randrange(near + 1) if place < 0.5 else rng.randrange(len(content) + 1)


def flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = min(_at(content, rng), len(content) - 1)
        changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def put(content: bytes, rng: random.Random) -> bytes:
    at = _at(content, rng)
    new = rng.choice((b"\x00", b"\xff", b"\x7f", b"\xff" * 4, b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7))
    return content[:at] + new + content[at + len(new) :]


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _at(content, rng)]


def drop(content: bytes, rng: random.Random) -> bytes:
    at = _at(content, rng)
    return content[:at] + content[at + rng.choice((1, 2, 8, 64, 500)) :]


def repeat(content: bytes, rng: random.Random) -> bytes:
    at, size = _at(content, rng), rng.choice((1, 8, 64, 500))
    return content[: at + size] + content[at : at + size] * rng.choice((1, 1, 50)) + content[at + size :]


def insert(content: bytes, rng: random.Random) -> bytes:
    at = _at(content, rng)
    return content[:at] + rng.choice(_TOKENS) + content[at:]


def replace_word(content: bytes, rng: random.Random) -> bytes:
    """Put an odd word in the place of one."""
    ends = [at for at in range(len(content)) if content[at : at + 1] in b' ,:"\n[]{}']
    if len(ends) < 2:
        return rng.choice(_TOKENS)
    number = rng.randrange(len(ends) - 1)
    return content[: ends[number] + 1] + rng.choice(_TOKENS) + content[ends[number + 1] :]


def swap(content: bytes, rng: random.Random) -> bytes:
    a, b = sorted((_at(content, rng), _at(content, rng)))
    size = rng.choice((4, 16, 64))
    return content[:a] + content[b : b + size] + content[a + size : b] + content[a : a + size] + content[b + size :]


def nothing(content: bytes, rng: random.Random) -> bytes:
    return b""


def noise(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((1, 8, 100, 5000)))


MUTATIONS: tuple[Mutation, ...] = (
    flip,
    flip,
    put,
    cut,
    drop,
    repeat,
    insert,
    insert,
    replace_word,
    swap,
    nothing,
    noise,
)


def odd_file(path: Path, rng: random.Random) -> str:
    """Put something in the place of a file that is none, or is another; return what."""
    kind = rng.choice(("pipe", "folder", "link to itself", "link to nowhere", "link to a device", "gone", "another"))
    content = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "link to nowhere":
        path.symlink_to("nowhere")
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "another":
        path.write_bytes(rng.choice((b"PK\x03\x04", b"PAR1", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n")) + content[8:])
    return kind


class Templates:
    """A good input of each reader, and what it gives, made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}

    def copy(self, name: str, to: Path) -> str:
        """Copy a good input; return what it gives."""
        place = self._folder / name.replace(" ", "-").replace(",", "")
        if name not in self._known:
            place.mkdir(parents=True)
            READERS[name].make(place)
            scratch = self._folder / "scratch"
            shutil.copytree(place, scratch, copy_function=shutil.copy2)
            self._known[name] = READERS[name].read(scratch)
            shutil.rmtree(scratch)
        # The times count: joined records name those of the records.
        shutil.copytree(place, to, copy_function=shutil.copy2, dirs_exist_ok=True)
        return self._known[name]


def mutate(name: str, seed: int, templates: Templates, folder: Path) -> tuple[str, str]:
    """Mutate an input of a reader and read it; return what came of it, and what was done.

    What came of it is ``right``, ``refused``, or what must not be: ``wrong``, ``traceback``, ``lines``, ``hang``,
    ``memory``, ``crash`` or ``outside``, with particulars.
    """
    reader, rng = READERS[name], random.Random(f"{name}/{seed}")
    inner = folder / "given"
    good = templates.copy(name, inner)
    path = rng.choice(sorted(one for pattern in reader.mutated for one in inner.glob(pattern)))
    if rng.random() < 0.08:
        done = odd_file(path, rng)
    else:
        content, about = path.read_bytes(), path.stat()
        words = []
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            mutation = rng.choice(MUTATIONS)
            content = mutation(content, rng) if content else content
            words.append(mutation.__name__)
        path.write_bytes(content)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        done = "+".join(words)
    done = f"{name}, seed {seed}: {done} of {path.relative_to(inner)}"
    before = _seen(folder)
    # What is not there is told in a warning, and what else is there is read.
    absent = done.partition(": ")[2].startswith(("gone", "link to nowhere", "link to itself"))
    came = _read_apart(replace(reader, sealed=False) if absent else reader, inner, good)
    beyond = [one for one in _seen(folder) ^ before if not one.startswith(("given/out/", "given/out"))]
    # Those that put right a hash write where the input is.
    beyond = [one for one in beyond if "with their hash" not in name]
    return (f"outside: {beyond[:3]}" if beyond else came), done


def _seen(folder: Path) -> set[str]:
    seen = set()
    for place, folders, files in os.walk(folder):
        for one in (*folders, *files):
            path = Path(place, one)
            about = path.lstat()
            seen.add(f"{path.relative_to(folder).as_posix()}:{about.st_size if one in files else 0}")
    return seen


def _read_apart(reader: Reader, folder: Path, good: str) -> str:
    """Return what a child says of an input, or what became of the child."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ear)
        said = _in_child(reader, folder, good)
        with suppress(OSError):
            os.write(mouth, said.encode("utf-8", "backslashreplace")[:4000])
        os._exit(0)
    os.close(mouth)
    with os.fdopen(ear, "rb") as stream:
        said = stream.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "hang" if number in (signal.SIGALRM, signal.SIGPROF) else f"crash: {signal.Signals(number).name}"
    return said or f"crash: it left with status {os.WEXITSTATUS(status)}"


def _in_child(reader: Reader, folder: Path, good: str) -> str:
    # A crash is what is looked for, and its trace would go into the log of the tests.
    faulthandler.disable()
    # A fork has none of the threads that torch began before it, and would wait for them.
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    os.dup2(sys.stderr.fileno(), 2)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Of its processor, since others may be at work; and of the clock, for what waits.
    for timer, alarm, seconds in (
        (signal.ITIMER_PROF, signal.SIGPROF, SECONDS),
        (signal.ITIMER_REAL, signal.SIGALRM, 6 * SECONDS),
    ):
        signal.signal(alarm, signal.SIG_DFL)
        signal.setitimer(timer, seconds)
    try:
        found = reader.read(folder)
    except BenchError as error:
        return "refused" if "\n" not in str(error).strip() else f"lines: {error}"
    except MemoryError:
        return f"memory: {traceback.format_exc()[-1500:]}"
    except BaseException:
        return f"traceback: {traceback.format_exc()[-3000:]}"
    return "right" if found == good or not reader.sealed else "wrong"


def main() -> None:
    """Read so many mutated inputs and say what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="Of the first input; the next ones follow.")
    parser.add_argument("--reader", choices=list(READERS), action="append")
    given = parser.parse_args()
    names = given.reader or list(READERS)
    came: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bench-mutated-") as scratch:
        templates = Templates(Path(scratch, "templates"))
        for number in range(given.count):
            folder = Path(scratch, "input")
            folder.mkdir()
            (folder / "victim").write_text("victim")
            name = names[number % len(names)]
            result, done = mutate(name, given.seed + number // len(names), templates, folder)
            came[result.partition(":")[0]] += 1
            if result not in ("right", "refused"):
                print(f"{done}\n  {result}", flush=True)
            shutil.rmtree(folder)
            if (number + 1) % 100 == 0:
                print(f"{number + 1} of {given.count}", file=sys.stderr, flush=True)
    print(", ".join(f"{count} {what}" for what, count in sorted(came.items())), f"of {given.count}")
    sys.exit(bool(came.keys() - {"right", "refused"}))


if __name__ == "__main__":
    main()
