"""A peer in few lines, that can say anything: the wire protocol as bytes, over TCP or uTP (utp_client.py)."""
import hashlib
import os
import pathlib
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
from outside import bdecode, bencode  # noqa: E402

BLOCK = 16 * 1024
(CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL, PORT) = range(10)
SUGGEST, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST, EXTENDED, HASH_REQUEST, HASHES, HASH_REJECT = 13, 14, 15, 16, 17, 20, 21, 22, 23
# Reserved bits of the handshake.
EXTENSIONS, FAST, V2 = 0x10_00_00, 0x04, 0x10
# Ids under which a liar wants the messages of extensions, and the peer's own (modules/engine/peer_session.cpp).
OWN_METADATA, OWN_EXCHANGE = 11, 12
DATA, METADATA_REJECT = 1, 2


class Closed(Exception):
    """The peer has ended the connection."""


class Torrent:
    """What is shared, as the liar knows it."""

    def __init__(self, path, content):
        decoded, _ = bdecode(path.read_bytes())
        self.path, self.name, self.content = path, content.name, content.read_bytes()
        self.info = bencode(decoded["info"])
        self.piece_length = decoded["info"]["piece length"]
        self.count = len(decoded["info"]["pieces"]) // 20
        self.hash = hashlib.sha1(self.info).digest()

    def block(self, piece, begin, length):
        at = piece * self.piece_length + begin
        return self.content[at:at + length]

    def bits(self, pieces):
        field = bytearray((self.count + 7) // 8)
        for piece in pieces:
            field[piece // 8] |= 0x80 >> piece % 8
        return bytes(field)


def message(kind, payload=b"", *numbers):
    body = bytes([kind]) + b"".join(struct.pack(">I", number) for number in numbers) + payload
    return struct.pack(">I", len(body)) + body


def numbers(kind, *values):
    return message(kind, b"", *values)


def piece(index, begin, data):
    return message(PIECE, data, index, begin)


def extended(number, content, rest=b""):
    return message(EXTENDED, bytes([number]) + (content if isinstance(content, bytes) else bencode(content)) + rest)


class TcpStream:
    """A connected socket."""

    def __init__(self, connected):
        self.socket = connected
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local = "%s:%d" % connected.getsockname()

    @classmethod
    def to(cls, address, patience):
        return cls(socket.create_connection(address, patience))

    def send(self, data, patience):
        self.socket.settimeout(patience)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionError) as why:
            raise Closed from why

    def receive(self, patience):
        """Some bytes; none when nothing comes in time."""
        self.socket.settimeout(max(patience, 0.001))
        try:
            data = self.socket.recv(1 << 16)
        except socket.timeout:
            return b""
        except ConnectionError as why:
            raise Closed from why
        if not data:
            raise Closed
        return data

    def end_output(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


class Liar:
    """One connection to the peer under test."""

    def __init__(self, stream, torrent, patience):
        self.stream, self.torrent, self.patience = stream, torrent, patience
        self.id = b"-XX0001-" + os.urandom(12)
        self.inbox = b""
        self.theirs = {}  # ids of the peer's extensions
        self.requests = []  # of the peer, as (piece, begin, length)
        self.is_unchoked = False

    @property
    def address(self):
        return self.stream.local

    def send(self, *parts):
        self.stream.send(b"".join(parts), self.patience)

    def greeting(self, reserved=EXTENSIONS | FAST, hash=None, id=None, protocol=b"\x13BitTorrent protocol"):
        return protocol + struct.pack(">Q", reserved) + (hash or self.torrent.hash) + (id or self.id)

    def take(self, count):
        end = time.monotonic() + self.patience
        while len(self.inbox) < count:
            if time.monotonic() > end:
                raise AssertionError("no answer")
            self.inbox += self.stream.receive(end - time.monotonic())
        taken, self.inbox = self.inbox[:count], self.inbox[count:]
        return taken

    def shake(self, *said_first, extension=True, **greeting):
        """Handshakes, and what extensions the liar has. Returns the peer's handshake."""
        self.send(self.greeting(**greeting), self.introduction() if extension else b"", *said_first)
        return self.take(68)

    def introduction(self, **more):
        return extended(0, {"m": {"ut_metadata": OWN_METADATA, "ut_pex": OWN_EXCHANGE}, "v": "liar"} | more)

    def next(self, until=None):
        """The next message, as (kind, payload), and what it means is kept. None when none comes before `until`."""
        end = time.monotonic() + self.patience if until is None else until
        while True:
            if len(self.inbox) >= 4:
                length = struct.unpack(">I", self.inbox[:4])[0]
                if len(self.inbox) >= 4 + length:
                    body, self.inbox = self.inbox[4:4 + length], self.inbox[4 + length:]
                    if not body:
                        continue  # a keep-alive
                    self.note(body[0], body[1:])
                    return body[0], body[1:]
            if time.monotonic() >= end:
                return None
            self.inbox += self.stream.receive(end - time.monotonic())

    def note(self, kind, payload):
        if kind == REQUEST:
            self.requests.append(struct.unpack(">III", payload))
        elif kind == CANCEL and struct.unpack(">III", payload) in self.requests:
            self.requests.remove(struct.unpack(">III", payload))
        elif kind in (UNCHOKE, CHOKE):
            self.is_unchoked = kind == UNCHOKE
        elif kind == EXTENDED and payload[0] == 0:
            self.theirs = bdecode(payload[1:])[0]["m"]

    def wait_for(self, condition):
        """Reads until the condition holds."""
        end = time.monotonic() + self.patience
        while not condition():
            if self.next(end) is None:
                raise AssertionError("what was waited for did not come")

    def message_of(self, extension, content, rest=b""):
        """A message of an extension that the peer has."""
        self.wait_for(lambda: self.theirs)
        return extended(self.theirs[extension], content, rest)

    def answers(self):
        """Whether the peer, asked for a piece of metadata that cannot be, says no: it still listens."""
        self.send(self.message_of("ut_metadata", {"msg_type": 0, "piece": 1 << 30}))
        end = time.monotonic() + self.patience
        while got := self.next(end):
            kind, payload = got
            if kind == EXTENDED and payload[0] == OWN_METADATA:
                said, _ = bdecode(payload[1:])
                if said == {"msg_type": METADATA_REJECT, "piece": 1 << 30}:
                    return True
        return False

    def next_request(self):
        """What the peer asks for next."""
        self.wait_for(lambda: self.requests)
        return self.requests.pop(0)

    def offer(self, pieces, unchoke=True):
        """Says that it has these pieces, and serves them."""
        self.send(message(BITFIELD, self.torrent.bits(pieces)), message(UNCHOKE) if unchoke else b"")

    def wait_closed(self, patience):
        """Whether the peer ends the connection in time."""
        end = time.monotonic() + patience
        try:
            while time.monotonic() < end:
                self.stream.receive(end - time.monotonic())
        except Closed:
            return True
        return False
