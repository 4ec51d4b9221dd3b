"""One end of a uTP connection, the one that begins it: enough to carry a conversation over loopback, and to lie. Source: BEP 29."""
import os
import socket
import struct
import time

from wire_client import Closed

DATA, FIN, STATE, RESET, SYN = range(5)
HEADER = struct.Struct(">BBHIIIHH")
WINDOW = 1 << 20
PAYLOAD = 1000  # of one packet
FLIGHT = 32  # packets on their way at most
RESEND_AFTER = 0.3
FIRST_NUMBER = 65530  # so that every conversation wraps


def packet(kind, connection, seq, ack, payload=b"", extension=b""):
    now = time.monotonic_ns() // 1000 & 0xFFFFFFFF
    return HEADER.pack(kind << 4 | 1, 1 if extension else 0, connection, now, 0, WINDOW, seq & 0xFFFF, ack & 0xFFFF) + extension + payload


def is_before(a, b):
    return 0 < (b - a & 0xFFFF) < 0x8000


class UtpStream:
    """As TcpStream of wire_client.py."""

    def __init__(self, address, patience):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.local = "%s:%d" % self.socket.getsockname()
        self.id = struct.unpack(">H", os.urandom(2))[0]
        self.seq, self.ack = FIRST_NUMBER, 0  # of the next packet; of the last that came in order
        self.flying = {}  # packets that are not acknowledged, by number
        self.early = {}  # what came before its turn
        self.inbox, self.is_over = b"", False
        self.resend_at = 0.0
        self.socket.send(packet(SYN, self.id, self.seq, 0))
        end = time.monotonic() + patience
        while True:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            kind, _, _, _, seq, ack = self.fields(self.socket.recv(2048))[:6]
            if kind == STATE and ack == self.seq:
                break
        self.seq = self.seq + 1 & 0xFFFF
        self.ack = seq - 1 & 0xFFFF

    @classmethod
    def to(cls, address, patience):
        return cls(address, patience)

    @staticmethod
    def fields(datagram):
        first, extension, connection, _, _, window, seq, ack = HEADER.unpack_from(datagram)
        at = HEADER.size
        while extension:
            extension, length = datagram[at], datagram[at + 1]
            at += 2 + length
        return first >> 4, extension, connection, window, seq, ack, datagram[at:]

    @property
    def sending_id(self):
        return self.id + 1 & 0xFFFF

    def put(self, kind, payload=b""):
        made = packet(kind, self.sending_id, self.seq, self.ack, payload)
        self.flying[self.seq] = made
        self.seq = self.seq + 1 & 0xFFFF
        self.resend_at = time.monotonic() + RESEND_AFTER
        self.socket.send(made)

    def say_state(self, ack_ahead=0, selective_ack=b""):
        extension = bytes([0, len(selective_ack)]) + selective_ack if selective_ack else b""
        self.socket.send(packet(STATE, self.sending_id, self.seq, self.ack + ack_ahead, b"", extension))

    def turn(self, patience):
        """Takes one datagram, and sends again what was not acknowledged."""
        if self.flying and time.monotonic() >= self.resend_at:
            self.resend_at = time.monotonic() + RESEND_AFTER
            for made in list(self.flying.values())[:FLIGHT]:
                self.socket.send(made)
        self.socket.settimeout(max(0.001, min(patience, RESEND_AFTER)))
        try:
            kind, _, _, _, seq, ack, payload = self.fields(self.socket.recv(2048))
        except socket.timeout:
            return
        except ConnectionError as why:
            raise Closed from why
        if kind == RESET:
            self.is_over = True
            return
        for number in [each for each in self.flying if not is_before(ack, each)]:
            del self.flying[number]
        if kind not in (DATA, FIN):
            return
        if is_before(self.ack, seq):
            self.early[seq] = (kind, payload)
        while (following := self.ack + 1 & 0xFFFF) in self.early:
            came, payload = self.early.pop(following)
            self.ack = following
            self.inbox += payload
            self.is_over = self.is_over or came == FIN
        self.say_state()

    def send(self, data, patience):
        end = time.monotonic() + patience
        for at in range(0, len(data), PAYLOAD):
            while len(self.flying) >= FLIGHT and not self.is_over:
                if time.monotonic() > end:
                    raise socket.timeout
                self.turn(end - time.monotonic())
            if self.is_over:
                raise Closed
            self.put(DATA, data[at:at + PAYLOAD])

    def receive(self, patience):
        end = time.monotonic() + patience
        while not self.inbox:
            if self.is_over:
                raise Closed
            self.turn(end - time.monotonic())
            if not self.inbox and time.monotonic() >= end:
                return b""
        data, self.inbox = self.inbox, b""
        return data

    def end_output(self):
        self.put(FIN)

    def end_twice(self):
        self.put(FIN)
        for made in list(self.flying.values()):
            self.socket.send(made)
        self.put(DATA, b"behind the end")
        self.put(FIN)

    def close(self):
        self.socket.send(packet(RESET, self.sending_id, self.seq, self.ack))
        self.socket.close()


def flood_of_syns(liar):
    """What comes back is not more than what went out, and the peer's memory stays."""
    flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flood.connect(liar.peer_address)
    flood.setblocking(False)
    before, sent, got = liar.memory(), 0, 0
    for number in range(liar.syns):
        sent += flood.send(packet(SYN, number & 0xFFFF, number >> 4, 0))
        try:
            while True:
                got += len(flood.recv(2048))
        except BlockingIOError:
            pass
    flood.close()
    if got > sent:
        raise AssertionError(f"{got} bytes for {sent}")
    if liar.memory() - before > 5 << 20:
        raise AssertionError(f"memory rose from {before} to {liar.memory()}")
