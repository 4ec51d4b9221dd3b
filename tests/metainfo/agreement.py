#!/usr/bin/env python3
"""Our reader of torrents against another one, written anew in Python from the BEPs and docs/security.md (T-DIFF).

    agreement.py VERDICTS [COUNT [SEED]]

Makes COUNT torrents (default 1 000 000): v1, v2 and hybrids, three in four of them damaged in their values, in their order, or in
their bytes. Both readers have to agree which are canonical bencode, which are torrents, and on info-hashes, sizes and pieces. On
a difference it prints the torrent; exit status 0 without one. VERDICTS is the program of verdicts.cpp.
"""
import copy
import hashlib
import random
import struct
import subprocess
import sys

DEPTH_MAX, PIECES_MAX, PIECE_LENGTH_MAX, BLOCK, SIZE_MAX = 100, 1 << 21, 1 << 29, 16384, 1 << 62
INT64 = range(-(1 << 63), 1 << 63)
BATCH = 500


class Refused(Exception):
    pass


def need(holds):
    if not holds:
        raise Refused


# The reader: bencode as lists [(key, value)], so that order and repetition are seen; each value with its span.

class Value:
    __slots__ = ("kind", "content", "begin", "end")

    def __init__(self, kind, content, begin, end):
        self.kind, self.content, self.begin, self.end = kind, content, begin, end

    def find(self, key, kind=None):
        """What the first such key maps to, if it is of that kind."""
        if self.kind == "d":
            for name, value in self.content:
                if name == key:
                    return value if kind in (None, value.kind) else None
        return None

    def required(self, key, kind):
        found = self.find(key)
        need(found is not None and found.kind == kind)
        return found.content

    def repeats(self):
        names = [name for name, _ in self.content]
        return len(set(names)) < len(names)


class Bencode:
    def __init__(self, data):
        self.data, self.canonical = data, True
        self.root, end = self.value(0, 0)
        need(end == len(data))

    def string(self, at):
        colon = self.data.find(b":", at, at + 21)
        need(colon > at)
        digits = self.data[at:colon]
        need(digits.isdigit())
        length = int(digits)
        if len(digits) > 1 and digits[:1] == b"0":
            self.canonical = False
        end = colon + 1 + length
        need(end <= len(self.data))
        return self.data[colon + 1:end], end

    def value(self, at, depth):
        first = self.data[at:at + 1]
        if first.isdigit():
            content, end = self.string(at)
            return Value("s", content, at, end), end
        if first == b"i":
            end = self.data.find(b"e", at)
            digits = self.data[at + 1:end]
            plain = digits[1:] if digits[:1] == b"-" else digits
            need(end > 0 and plain.isdigit())
            number = int(digits)
            need(number in INT64)
            if str(number).encode() != digits:
                self.canonical = False
            return Value("i", number, at, end + 1), end + 1
        need(first in (b"l", b"d") and depth < DEPTH_MAX)
        content, begin, at, last = [], at, at + 1, None
        while self.data[at:at + 1] != b"e":
            if first == b"l":
                item, at = self.value(at, depth + 1)
                content.append(item)
                continue
            need(self.data[at:at + 1].isdigit())
            key, at = self.string(at)
            if last is not None and key <= last:
                self.canonical = False
            last = key
            item, at = self.value(at, depth + 1)
            content.append((key, item))
        return Value(first.decode(), content, begin, at + 1), at + 1


def is_strict(data):
    try:
        return Bencode(data).canonical
    except Refused:
        return False


def pieces_in(size, length):
    return -(-size // length)


def attributes(of):
    found = of.find(b"attr", "s")
    return found.content if found else b""


def size_of(of):
    size = of.required(b"length", "i")
    need(0 <= size <= SIZE_MAX)
    return size


def tree_files(tree, path=()):
    """(path, size, is a link, root) of each file, in order. BEP 52."""
    for name, node in tree.content:
        need(name != b"" and node.kind == "d")
        if not node.content or node.content[0][0] != b"":
            yield from tree_files(node, path + (name,))
            continue
        need(len(node.content) == 1)
        leaf = node.content[0][1]
        need(leaf.kind == "d")
        letters = attributes(leaf)
        need(b"p" not in letters)
        if b"l" in letters:
            yield path + (name,), 0, True, None
            continue
        size, root = size_of(leaf), None
        if size:
            root = leaf.find(b"pieces root", "s")
            need(root is not None and len(root.content) == 32 and any(root.content))
            root = root.content
        yield path + (name,), size, False, root


def merkle_root(hashes, height):
    """Of a piece layer whose entries are `height` levels above the blocks."""
    empty = bytes(32)
    for _ in range(height):
        empty = hashlib.sha256(empty + empty).digest()
    while len(hashes) & len(hashes) - 1:
        hashes = hashes + [empty]
    while len(hashes) > 1:
        hashes = [hashlib.sha256(hashes[i] + hashes[i + 1]).digest() for i in range(0, len(hashes), 2)]
    return hashes[0]


def read_torrent(data):
    """(v1, v2, bytes, pieces) of a torrent; raises Refused."""
    document = Bencode(data)
    root = document.root
    info = root.find(b"info", "d")
    need(info is not None and (document.canonical or not root.repeats() and not info.repeats()))
    raw = data[info.begin:info.end]
    version = info.find(b"meta version")
    need(version is None or version.kind == "i" and version.content == 2)
    v2 = version is not None
    v1 = not v2 or info.find(b"pieces") is not None
    need(not v2 or document.canonical or is_strict(raw))
    info.required(b"name", "s")
    length = info.required(b"piece length", "i")
    need(0 < length <= PIECE_LENGTH_MAX and (not v2 or length >= BLOCK and length & length - 1 == 0))
    tree = []
    if v2:
        need((of := info.find(b"file tree")) is not None and of.kind == "d")
        tree = list(tree_files(of))
    end = content = aligned = 0

    def append(size, is_pad=False):
        nonlocal end, content, aligned
        if is_pad:
            need(size < length)
        elif v2 and size:
            need(end % length == 0)
            aligned += pieces_in(size, length)
        end += size
        need(pieces_in(end, length) <= PIECES_MAX)
        content += 0 if is_pad else size

    if v1:
        files = info.find(b"files")
        listed = []
        if files is not None:
            need(files.kind == "l" and info.find(b"length") is None)
            for each in files.content:
                need(each.kind == "d" and (document.canonical or not each.repeats()))
                letters = attributes(each)
                size = 0 if b"l" in letters else size_of(each)
                if b"p" in letters:
                    append(size, True)
                    continue
                other = None if v2 else each.find(b"path.utf-8", "l")
                path = other.content if other else each.required(b"path", "l")
                need(path and all(part.kind == "s" for part in path))
                append(size)
                listed.append((tuple(part.content for part in path), size, b"l" in letters))
        else:
            name = info.required(b"name", "s")
            append(size_of(info))
            listed.append(((name,), end, False))
        need(not v2 or listed == [each[:3] for each in tree])
    else:
        for _, size, _, _ in tree:
            if size and end % length:
                append(length - end % length, True)
            append(size)
    need(content > 0 and (not v2 or aligned == pieces_in(end, length)))
    need(not v1 or len(info.required(b"pieces", "s")) == 20 * pieces_in(end, length))
    if v2 and (layers := root.find(b"piece layers")) is not None:
        need(layers.kind == "d" and not layers.repeats())
        for key, layer in layers.content:
            sizes = {size for _, size, _, of in tree if of == key and size > length}
            need(layer.kind == "s" and sizes and all(len(layer.content) == 32 * pieces_in(size, length) for size in sizes))
            hashes = [layer.content[i:i + 32] for i in range(0, len(layer.content), 32)]
            need(merkle_root(hashes, (length // BLOCK).bit_length() - 1) == key)
    private = info.find(b"private")
    need(private is None or private.kind == "i")
    return (hashlib.sha1(raw).hexdigest() if v1 else "-", hashlib.sha256(raw).hexdigest() if v2 else "-", end, pieces_in(end, length))


# What is read: dictionaries are lists of pairs here too.

def encode(value, draw, odd):
    """`odd`: a chance for each dictionary to be out of order and for each number to be written oddly."""
    if isinstance(value, int):
        return b"i%s%de" % (b"0" if odd and value >= 0 and draw.random() < odd else b"", value)
    if isinstance(value, bytes):
        return b"%s%d:%s" % (b"0" if odd and draw.random() < odd / 4 else b"", len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(encode(each, draw, odd) for each in value) + b"e"
    pairs = sorted(value.items())
    if odd and draw.random() < odd:
        draw.shuffle(pairs)
    if odd and pairs and draw.random() < odd / 4:
        pairs.append(draw.choice(pairs))
    return b"d" + b"".join(encode(name, draw, 0) + encode(each, draw, odd) for name, each in pairs) + b"e"


def some_torrent(draw):
    kind = draw.choice(("v1", "v1", "v2", "hybrid", "hybrid"))
    length = BLOCK << draw.randrange(3) if kind != "v1" or draw.random() < 0.5 else draw.randrange(1, 70000)
    info, outer = {b"name": draw.choice((b"name", b"", b"..", b"a/b", "gr\u00fcn".encode())), b"piece length": length}, {}
    names = draw.sample((b"a", b"b", b"c", b"d.txt", b"E", b"..", b"f\xff", b"name"), draw.randrange(1, 6))
    sizes = {name: draw.choice((0, 1, length, length - 1, length + 1, draw.randrange(5 * length))) for name in names}
    folders = {name: () if draw.random() < 0.6 else (draw.choice((b"x", b"y")),) for name in names}
    single = draw.random() < 0.3
    if kind == "v2" and draw.random() < 0.05:  # as many pieces as there may be, or one more
        sizes[names[0]] = PIECES_MAX * length + draw.randrange(-length, 2)
    if single:
        sizes, folders = {info[b"name"]: draw.randrange(1, 4 * length)}, {info[b"name"]: ()}
    if draw.random() < 0.2:
        info[b"private"] = draw.randrange(2)
    tree, layers = {}, {}
    for name, size in sizes.items():
        leaf = {b"length": size}
        if size > 10 * length:
            leaf[b"pieces root"] = draw.randbytes(32)  # its layer is left to peers
        elif size > length:
            layer = [draw.randbytes(32) for _ in range(pieces_in(size, length))]
            leaf[b"pieces root"] = merkle_root(layer, (length // BLOCK).bit_length() - 1) if length % BLOCK == 0 else draw.randbytes(32)
            layers[leaf[b"pieces root"]] = b"".join(layer)
        elif size:
            leaf[b"pieces root"] = draw.randbytes(32)
        if draw.random() < 0.05:
            leaf[b"attr"] = b"x"
        here = tree
        for folder in folders[name]:
            here = here.setdefault(folder, {})
        here[name] = {b"": leaf}
    if kind != "v1":
        info[b"meta version"], info[b"file tree"] = 2, tree
        if draw.random() < 0.9:
            outer[b"piece layers"] = layers
    if kind != "v2":
        paths = sorted(folders[name] + (name,) for name in sizes)
        files, end = [], 0
        for path in paths:
            size = sizes[path[-1]]
            if kind == "hybrid" and size and end % length:
                files.append({b"attr": b"p", b"length": length - end % length, b"path": [b".pad", b"0"]})
                end += length - end % length
            files.append({b"length": size, b"path": list(path)})
            end += size
        if single:
            info[b"length"] = end
        else:
            info[b"files"] = files
        info[b"pieces"] = draw.randbytes(20) * pieces_in(end, length)
    for key, value in ((b"announce", b"http://t.example/a"), (b"announce-list", [[b"udp://t.example:1"]]), (b"comment", b"c"),
                       (b"nodes", [[b"h", 1]]), (b"url-list", b"http://w.example/")):
        if draw.random() < 0.2:
            outer[key] = value
    outer[b"info"] = info
    return outer


VALUES = [0, 1, -1, 2, 16384, 1 << 21, 1 << 29, (1 << 29) + 1, SIZE_MAX, SIZE_MAX + 1, (1 << 63) - 1, b"", b"p", b"x", b"l", bytes(32), b"x" * 20,
          [], {}, [b"a"], [[]], [0], {b"": {}}, {b"a": {}}, {b"": {b"length": 0}}]
KEYS = [b"info", b"name", b"length", b"files", b"path", b"path.utf-8", b"attr", b"pieces", b"piece length", b"file tree", b"meta version",
        b"pieces root", b"piece layers", b"private", b"", b"name.utf-8"]


def damage(value, draw):
    """Changes something somewhere in it, or at its root."""
    places = []

    def walk(here):
        for key in list(here.keys()) if isinstance(here, dict) else range(len(here)):
            places.append((here, key))
            if isinstance(here[key], (dict, list)):
                walk(here[key])
    walk(value)
    if not places:
        return
    here, key = draw.choice(places)
    what = draw.randrange(5)
    if what == 0:
        del here[key]
    elif what == 1:
        here[key] = copy.deepcopy(draw.choice(VALUES))
    elif what == 2 and isinstance(here[key], int):
        here[key] += draw.choice((-1, 1, 16384, -16384))
    elif what == 2 and isinstance(here[key], bytes):
        here[key] = here[key][:-1] if draw.random() < 0.5 else here[key] + b"x"
    elif what == 3 and isinstance(here, dict):
        here[draw.choice(KEYS)] = here[key]
    elif isinstance(here, dict):
        here[draw.choice(KEYS)] = copy.deepcopy(draw.choice(VALUES))


def damage_bytes(data, draw):
    at = draw.randrange(len(data))
    what = draw.randrange(5)
    if what == 0:
        return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1:]
    if what == 1:
        return data[:at] + data[at + draw.randrange(1, 4):]
    if what == 2:
        return data[:at] + draw.choice((b"i", b"e", b"l", b"d", b"0", b"1", b"9", b"-", b":", b"1:a", b"le")) + data[at:]
    if what == 3:
        return data + draw.choice((b"\n", b"e", b"0:", data))
    if draw.random() < 0.5:
        return data[:at]
    depth = draw.randrange(DEPTH_MAX - 2, DEPTH_MAX + 2)
    return b"d1:a" + b"l" * depth + b"e" * depth + data[1:]


def made(draw):
    torrent = some_torrent(draw)
    kind = draw.randrange(4)
    for _ in range(draw.randrange(1, 3) if kind == 1 else 0):
        damage(torrent, draw)
    data = encode(torrent, draw, 0.1 if kind == 2 else 0)
    return damage_bytes(data, draw) if kind == 3 else data


def verdict(data):
    strict = "1 " if is_strict(data) else "0 "
    try:
        return strict + " ".join(map(str, read_torrent(data)))
    except Refused:
        return strict + "-"


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    draw = random.Random(seed)
    ours = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    taken = canonical = 0
    for done in range(0, count, BATCH):
        batch = [made(draw) for _ in range(min(BATCH, count - done))]
        for data in batch:
            ours.stdin.write(struct.pack(">I", len(data)) + data)
            ours.stdin.flush()
            said = ours.stdout.readline().decode().strip()
            wanted = verdict(data)
            if said != wanted:
                print(f"{data!r}\n  ours:  {said}\n  other: {wanted}")
                raise SystemExit(1)
            taken += not said.endswith("-")
            canonical += said[0] == "1"
    ours.stdin.close()
    ours.wait()
    print(f"{count} torrents: the readers agree; {taken} were taken, {canonical} are canonical bencode")
    if not count // 4 <= taken < count:
        raise SystemExit("that was no test: nearly all were taken, or refused")


if __name__ == "__main__":
    main()
