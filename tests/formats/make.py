#!/usr/bin/env python3
"""Writes the captures beside it: one little conversation in every wrapping that whichhop reads.

Each holds the same SYN, SYN/ACK and ACK, 1 ms apart, so that each must give the same attempt. `check.sh` shows what
tshark makes of them.
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent


def sum16(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ total


def ip4(protocol, payload, source=(10, 22, 0, 1), to=(198, 19, 0, 4), fragment=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, fragment, 64, protocol, 0,
                       bytes(source), bytes(to))
    return head[:10] + struct.pack(">H", sum16(head)) + head[12:] + payload


def ip6(following, payload, source=1, to=4):
    net, far = bytes.fromhex("fd22" + "00" * 13), bytes.fromhex("20010db8" + "00" * 11)
    ends = (net + bytes([source]), far + bytes([to])) if source == 1 else (far + bytes([source]), net + bytes([to]))
    return struct.pack(">IHBB", 0x60000000, len(payload), following, 64) + ends[0] + ends[1] + payload


def tcp(ports, seq, ack, flags, pseudo):
    segment = struct.pack(">HHIIBBHHH", *ports, seq, ack, 0x50, flags, 64240, 0, 0)
    check = sum16(pseudo + struct.pack(">II", len(segment), 6) + segment)
    return segment[:16] + struct.pack(">H", check) + segment[18:]


SEGMENTS = [((50022, 22), 1000, 0, 0x02), ((22, 50022), 5000, 1001, 0x12), ((50022, 22), 1001, 5001, 0x10)]
CLIENT, SERVER = (10, 22, 0, 1), (198, 19, 0, 4)


def talk4():
    for number, segment in enumerate(SEGMENTS):
        ends = (CLIENT, SERVER) if number != 1 else (SERVER, CLIENT)
        yield ip4(6, tcp(*segment, bytes(ends[0] + ends[1])), *ends)


def talk6():
    for number, segment in enumerate(SEGMENTS):
        ends = (1, 4) if number != 1 else (4, 1)
        blank = ip6(6, b"", *ends)
        yield ip6(6, tcp(*segment, blank[8:40]), *ends)


V4, V6 = list(talk4()), list(talk6())
BOTH = [(0x0800, packet) for packet in V4] + [(0x86DD, packet) for packet in V6]
MACS = bytes.fromhex("020000000001020000000002")


def typed(kind):
    return struct.pack(">H", kind)


def ether(kind, payload):
    return MACS + typed(kind) + payload


def bare(packet):
    return ether(0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet)


def outer(protocol, payload, fragment=0):
    return ether(0x0800, ip4(protocol, payload, (198, 18, 0, 1), (198, 18, 0, 2), fragment))


def outer6(following, payload):
    return ether(0x86DD, ip6(following, payload, 1, 9))


def udp(port, payload):
    return outer(17, struct.pack(">HHHH", 50000, port, 8 + len(payload), 0) + payload)


def snap(kind, payload):
    return bytes.fromhex("aaaa03000000") + typed(kind) + payload


def pcap(link, frames, order="<", magic=0xA1B2C3D4, minor=4, extra=b"", record=b"", swap=False):
    nanos = magic in (0xA1B23C4D, 0x1C0001AC)
    out = struct.pack(order + "IHHIIII", magic, 2, minor, 0, 0, 262144, link) + extra
    for number, frame in enumerate(frames):
        ticks = number * (1_000_000 if nanos else 1_000)
        lengths = (len(frame) + 100, len(frame)) if swap else (len(frame), len(frame) + (100 if record else 0))
        out += struct.pack(order + "IIII", 1_700_000_000, ticks, *lengths) + record + frame
    return out


def padded(data):
    return data + b"\0" * (-len(data) % 4)


def block(order, kind, body):
    length = struct.pack(order + "I", len(padded(body)) + 12)
    return struct.pack(order + "I", kind) + length + padded(body) + length


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + padded(value)


def section(order):
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order, link, options=b""):
    return block(order, 1, struct.pack(order + "HHI", link, 0, 0) + options)


def enhanced(order, index, ticks, frame):
    return block(order, 6, struct.pack(order + "IIIII", index, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
                 + frame)


def nflog(order):
    def attribute(kind, value):
        return padded(struct.pack(order + "HH", 4 + len(value), kind) + value)
    return [bytes([2 if packet[0] >> 4 == 4 else 10, 0, 0, 5])
            + attribute(1, b"\x08\x00\x01\x00") + attribute(10, b"fw\0") + attribute(9, packet) for _, packet in BOTH]


def wifi(flags=1, quality=b"", extra=b"", body=None, control=0x08):
    head = bytes([control, flags, 0, 0]) + MACS[:6] + MACS[6:] + bytes.fromhex("020000000003") + b"\x10\0"
    return [head + extra + quality + (body(kind, packet) if body else snap(kind, packet)) for kind, packet in BOTH]


def each(wrap):
    return [wrap(kind, packet) for kind, packet in BOTH]


GENEVE_OPTIONS = bytes.fromhex("0102000100000007")
PORT_MIRROR = bytes.fromhex("1001000200000003")
ERSPAN_III = bytes.fromhex("200100020000000000000000")
RADIOTAP = bytes.fromhex("0000") + struct.pack("<HI", 8 + 8 + 2, 0x00000007) + b"\x01" * 8 + b"\x00\x02"
RADIOTAP_WORDS = bytes.fromhex("0000") + struct.pack("<HIII", 8 + 8 + 1, 0x80000002, 0xA0000000, 0x00000000) + b"\x20"

FRAMES = {
    "ethernet": (1, each(ether)),
    "vlan": (1, each(lambda kind, p: MACS + bytes.fromhex("81002016") + typed(kind) + p)),
    "qinq": (1, each(lambda kind, p: MACS + bytes.fromhex("88a8000781002016") + typed(kind) + p)),
    "snap": (1, each(lambda kind, p: MACS + typed(8 + len(p)) + snap(kind, p))),
    "vlan-snap": (1, each(lambda kind, p: MACS + bytes.fromhex("81002016") + typed(8 + len(p)) + snap(kind, p))),
    "pppoe": (1, each(lambda kind, p: ether(0x8864, struct.pack(">BBHHH", 0x11, 0, 9, 2 + len(p),
                                                              0x21 if kind == 0x0800 else 0x57) + p))),
    "mpls": (1, each(lambda _, p: ether(0x8847, bytes.fromhex("0006403f0007413f") + p))),
    "mpls-pseudowire": (1, each(lambda kind, p: ether(0x8847, bytes.fromhex("0007413f00000000") + ether(kind, p)))),
    "sll": (113, each(lambda kind, p: struct.pack(">HHH8sH", 4, 1, 6, MACS[6:] + b"\0\0", kind) + p)),
    "sll2": (276, each(lambda kind, p: struct.pack(">HHIHBB8s", kind, 0, 3, 1, 4, 6, MACS[6:] + b"\0\0") + p)),
    "raw-101": (101, [p for _, p in BOTH]),
    "raw-12": (12, [p for _, p in BOTH]),
    "raw-14": (14, [p for _, p in BOTH]),
    "null": (0, each(lambda kind, p: struct.pack("<I", 2 if kind == 0x0800 else 30) + p)),
    "null-big": (0, each(lambda kind, p: struct.pack(">I", 2 if kind == 0x0800 else 24) + p)),
    "loop": (108, each(lambda kind, p: struct.pack(">I", 2 if kind == 0x0800 else 24) + p)),
    "ppp": (9, each(lambda kind, p: bytes([0xFF, 3, 0, 0x21 if kind == 0x0800 else 0x57]) + p)),
    "ppp-bare": (9, each(lambda kind, p: bytes([0, 0x21 if kind == 0x0800 else 0x57]) + p)),
    "ppp-serial": (50, each(lambda kind, p: bytes([0xFF, 3, 0, 0x21 if kind == 0x0800 else 0x57]) + p)),
    "ppp-serial-cisco": (50, each(lambda kind, p: bytes([0x0F, 0]) + typed(kind) + p)),
    "ppp-ether": (51, each(lambda kind, p: struct.pack(">BBHHH", 0x11, 0, 9, 2 + len(p),
                                                       0x21 if kind == 0x0800 else 0x57) + p)),
    "cisco-hdlc": (104, each(lambda kind, p: bytes([0x0F, 0]) + typed(kind) + p)),
    "ppp-pppd": (166, each(lambda kind, p: bytes([1, 0, 0, 0x21 if kind == 0x0800 else 0x57]) + p)),
    "ppp-with-dir": (204, each(lambda kind, p: bytes([1, 0xFF, 3, 0, 0x21 if kind == 0x0800 else 0x57]) + p)),
    "cisco-hdlc-with-dir": (205, each(lambda kind, p: bytes([1, 0x0F, 0]) + typed(kind) + p)),
    "wifi": (105, wifi()),
    "wifi-qos": (105, wifi(control=0x88, quality=b"\0\0")),
    "wifi-four-addresses": (105, wifi(flags=3, control=0x88, quality=b"\0\0", extra=MACS[:6])),
    "wifi-aggregate-of-one": (105, wifi(flags=2, control=0x88, quality=b"\x80\0",
                                        body=lambda kind, p: MACS + typed(8 + len(p)) + snap(kind, p))),
    "radiotap": (127, [RADIOTAP + frame for frame in wifi()]),
    "radiotap-padded": (127, [RADIOTAP_WORDS + frame for frame in wifi(control=0x88, quality=b"\0\0\0\0")]),
    "prism": (119, [struct.pack("<II16s", 0x44, 144, b"wlan0") + b"\0" * 120 + frame for frame in wifi()]),
    "avs": (163, [struct.pack(">II", 0x80211001, 64) + b"\0" * 56 + frame for frame in wifi()]),
    "ppi": (192, [struct.pack("<BBHI", 0, 0, 8, 1) + ether(kind, p) for kind, p in BOTH]),
    "pktap": (258, [struct.pack("<III", 108, 1, 1) + b"\0" * 96 + ether(kind, p) for kind, p in BOTH]),
    "nflog": (239, nflog("<")),
    "pflog": (117, each(lambda kind, p: bytes([61, 2 if kind == 0x0800 else 24, 0, 0]) + b"em0".ljust(60, b"\0") + p)),
    "enc": (109, each(lambda kind, p: struct.pack("<III", 2 if kind == 0x0800 else 24, 7, 0) + p)),
    "ip-in-ip": (1, [outer(4 if kind == 0x0800 else 41, p) for kind, p in BOTH]),
    "ip-in-ipv6": (1, [outer6(4 if kind == 0x0800 else 41, p) for kind, p in BOTH]),
    "gre": (1, each(lambda kind, p: outer(47, b"\0\0" + typed(kind) + p))),
    "gre-fields": (1, each(lambda kind, p: outer(47, b"\xb0\0" + typed(kind) + b"\0" * 4 + b"\0\0\0\7" + b"\0\0\0\1" + p))),
    "gre-bridged": (1, each(lambda kind, p: outer6(47, b"\x20\0\x65\x58\0\0\7\0" + ether(kind, p)))),
    "pptp": (1, each(lambda kind, p: outer(47, struct.pack(">HHHHII", 0x3081, 0x880B, len(p) + 4, 7, 1, 1)
                                           + bytes([0xFF, 3, 0, 0x21 if kind == 0x0800 else 0x57]) + p))),
    "erspan-1": (1, each(lambda kind, p: outer(47, b"\0\0\x88\xbe" + ether(kind, p)))),
    "erspan-2": (1, each(lambda kind, p: outer(47, b"\x10\0\x88\xbe\0\0\0\1" + PORT_MIRROR + ether(kind, p)))),
    "erspan-3": (1, each(lambda kind, p: outer(47, b"\x10\0\x22\xeb\0\0\0\1" + ERSPAN_III + ether(kind, p)))),
    "erspan-3-subheader": (1, each(lambda kind, p: outer(47, b"\x10\0\x22\xeb\0\0\0\1" + ERSPAN_III[:-1] + b"\1"
                                                         + b"\0" * 8 + ether(kind, p)))),
    "vxlan": (1, each(lambda kind, p: udp(4789, b"\x08\0\0\0\0\0\7\0" + ether(kind, p)))),
    "vxlan-linux": (1, each(lambda kind, p: udp(8472, b"\x08\0\0\0\0\0\7\0" + ether(kind, p)))),
    "vxlan-azure-gateway": (1, each(lambda kind, p: udp(10800, b"\x08\0\0\0\0\3\x20\0" + ether(kind, p)))),
    "vxlan-gpe": (1, each(lambda kind, p: udp(4790, bytes([0x0C, 0, 0, 1 if kind == 0x0800 else 2]) + b"\0\0\7\0" + p))),
    "geneve": (1, each(lambda kind, p: udp(6081, b"\0\0\x65\x58\0\0\7\0" + ether(kind, p)))),
    "geneve-options": (1, each(lambda kind, p: udp(6081, b"\2\0" + typed(kind) + b"\0\0\7\0" + GENEVE_OPTIONS + p))),
    "gre-in-udp": (1, each(lambda kind, p: udp(4754, b"\0\0" + typed(kind) + p))),
    "mpls-in-udp": (1, each(lambda _, p: udp(6635, bytes.fromhex("0007413f") + p))),
    "mpls-in-ip": (1, each(lambda _, p: outer(137, bytes.fromhex("0007413f") + p))),
    "mpls-in-gre": (1, each(lambda _, p: outer(47, bytes.fromhex("000088470007413f") + p))),
    "ethernet-in-ip": (1, each(lambda kind, p: outer(143, ether(kind, p)))),
    "etherip": (1, each(lambda kind, p: outer(97, b"\x30\0" + ether(kind, p)))),
    "erspan-of-vxlan": (1, each(lambda kind, p: outer(47, b"\x10\0\x88\xbe\0\0\0\1" + PORT_MIRROR
                                                      + udp(4789, b"\x08\0\0\0\0\0\7\0" + ether(kind, p))))),
    "gre-first-fragment": (1, each(lambda kind, p: outer(47, b"\0\0" + typed(kind) + p, 0x2000))),
}

CAPTURES = {name + ".pcap": pcap(link, frames) for name, (link, frames) in FRAMES.items()}
ETHERNET = each(ether)
for name, order in (("little", "<"), ("big", ">")):
    CAPTURES |= {
        f"micro-{name}.pcap": pcap(1, ETHERNET, order),
        f"nano-{name}.pcap": pcap(1, ETHERNET, order, 0xA1B23C4D),
        f"kuznetzov-{name}.pcap": pcap(1, ETHERNET, order, 0xA1B2CD34,
                                       record=struct.pack(order + "iHBB", 2, 0x0800, 4, 0)),
        f"ixia-hardware-{name}.pcap": pcap(1, ETHERNET, order, 0x1C0001AC, extra=b"\0\0\1\0"),
        f"ixia-software-{name}.pcap": pcap(1, ETHERNET, order, 0x1C0001AB, extra=b"\0\0\1\0"),
        f"lengths-swapped-{name}.pcap": pcap(1, ETHERNET, order, minor=2, swap=True),
        f"lengths-maybe-swapped-{name}.pcap": pcap(1, ETHERNET, order, minor=3, swap=True),
        f"frame-check-{name}.pcap": pcap(0x24000001, [frame + b"\1\2\3\4" for frame in ETHERNET], order),
        f"nflog-{name}.pcap": pcap(239, nflog(order), order),
    }
    # A section with two interfaces that count time differently, then one in the other byte order.
    other = "<" if order == ">" else ">"
    base = 1_700_000_000
    mixed = section(order) + interface(order, 1, option(order, 9, b"\x09") + option(order, 14, struct.pack(order + "q", base)))
    mixed += interface(order, 101, option(order, 9, b"\x8a") + option(order, 0, b""))
    mixed += enhanced(order, 0, 0, ether(0x0800, V4[0]))
    mixed += enhanced(order, 1, (base << 10) + 1, V4[1])
    mixed += block(order, 2, struct.pack(order + "HHIIII", 0, 0, 0, 2_000_000, len(ether(0x0800, V4[2])),
                                         len(ether(0x0800, V4[2]))) + ether(0x0800, V4[2]))
    mixed += section(other) + interface(other, 1)
    for number, packet in enumerate(V6):
        frame = ether(0x86DD, packet)
        if number == 2:
            mixed += block(other, 3, struct.pack(other + "I", len(frame)) + frame)
        else:
            ticks = base * 1_000_000 + (3 + number) * 1_000
            mixed += enhanced(other, 0, ticks, frame)
    CAPTURES[f"sections-{name}.pcapng"] = mixed

for old in HERE.glob("*.pcap*"):
    old.unlink()
for name, capture in CAPTURES.items():
    (HERE / name).write_bytes(capture)
