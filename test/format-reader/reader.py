#!/usr/bin/env python3
"""Reads a Keyframe repository without Keyframe. Written from docs/format/repository-v1.md alone.

  reader.py restore REPOSITORY CLUSTER LABEL TARGET    restores the files of a base backup
  reader.py wal REPOSITORY CLUSTER EPOCH NAME FILE     fetches a WAL file
  reader.py log REPOSITORY CLUSTER EPOCH TIMELINE      prints what the WAL index tells of a timeline's files, as JSON
  reader.py vectors FILE                               checks this reader against vectors.json

An encrypted repository is opened by a slot of a passphrase, which KEYFRAME_PASSPHRASE holds.
"""
import base64
import gzip
import hashlib
import hmac
import json
import os
import struct
import sys
import unicodedata
import zlib

try:
    import zstandard
except ImportError:  # only needed for the codec zstd
    zstandard = None

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:  # only needed for encrypted repositories
    AESGCM = None

FORMAT = 1
SEAL = 81
FOOTER = 160
MAGIC = {"pack": b"KFPACK1\n", "wal": b"KFWALS1\n", "manifest": b"KFMANI1\n", "index": b"KFINDX1\n"}


class Damaged(Exception):
    pass


class TooNew(Exception):
    pass


def must(condition, what):
    if not condition:
        raise Damaged(what)


def sha256(data):
    return hashlib.sha256(data).digest()


# --- numbers -----------------------------------------------------------------------------------------------------

class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        must(count <= self.left(), "ends early")
        self.at += count
        return self.data[self.at - count:self.at]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            must(value < 1 << 53, "a number is too large")
            if byte < 0x80:
                return value

    def signed(self):
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value + 1) // 2

    def bytes(self):
        return self.take(self.varint())

    def list(self, read):
        return [read() for _ in range(self.varint())]


# --- sealed JSON, containers, frames -----------------------------------------------------------------------------

def parse_json(data):
    value = json.loads(data.decode("utf-8"))
    if value["format"] > FORMAT:
        raise TooNew("format %d" % value["format"])
    return value


def sealed_json(data):
    must(len(data) >= SEAL, "too short for a seal")
    body, seal = data[:-SEAL], data[-SEAL:]
    must(seal == b'  "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n', "seal")
    return parse_json(data)


def parse_head(data, kind):
    must(data[:8] == MAGIC[kind], "magic")
    length, crc = struct.unpack("<II", data[8:16])
    header = data[16:16 + length]
    must(len(header) == length and zlib.crc32(header, zlib.crc32(data[:12])) == crc, "header checksum")
    return parse_json(header), 16 + length


class Footer:
    def __init__(self, data, size):
        must(len(data) == FOOTER and data[:8] == b"KFFOOT1\n", "footer")
        must(struct.unpack("<I", data[156:])[0] == zlib.crc32(data[:156]), "footer checksum")
        object_size, self.table, self.frames, flags, self.tail, self.tail_length = struct.unpack("<QQIIQQ", data[8:48])
        if flags:
            raise TooNew("footer flags")
        self.head_sha, self.table_sha, self.tail_sha = data[48:80], data[80:112], data[112:144]
        must(object_size == size and self.tail == self.table + 48 * self.frames, "footer figures")
        must(size == self.tail + self.tail_length + FOOTER, "footer figures")


def parse_table(data):
    return [struct.unpack("<QII32s", data[at:at + 48]) for at in range(0, len(data), 48)]


def sections(tail, cipher=None):
    if not tail:
        return {}
    count = struct.unpack("<I", tail[-4:])[0]
    start = len(tail) - 4 - 24 * count
    must(start >= 0, "tail directory")
    found = {}
    for at in range(start, len(tail) - 4, 24):
        ident, flags, offset, length = struct.unpack("<IIQQ", tail[at:at + 24])
        content = tail[offset:offset + length]
        if flags & 1:
            must(cipher, "a section is encrypted, and its object is not")
            content = cipher.open_section(ident, content)
        found[ident] = content
    return found


def parse_frame_header(data):
    must(len(data) >= 32 and data[:4] == b"KFRM", "frame magic")
    fmt, flags, key, codec, plain, payload, number, crc = struct.unpack("<BBH8sIIII", data[4:32])
    must(zlib.crc32(data[:28]) == crc, "frame checksum")
    if fmt > FORMAT or flags & ~1:
        raise TooNew("frame format %d, flags %d" % (fmt, flags))
    must((flags == 1) == (key > 0), "frame key")
    return codec.rstrip(b"\0").decode("ascii"), plain, payload, number, key


def open_frame(stored, number, plain_length, cipher=None):
    codec, plain, payload, own, generation = parse_frame_header(stored)
    must((own, plain, payload) == (number, plain_length, len(stored) - 32), "frame %d is another" % number)
    must(generation == (cipher.generation if cipher else 0), "frame %d is not as encrypted as its object" % number)
    content = stored[32:]
    if cipher:
        content = cipher.open_frame(number, stored[:28], content)
    if codec == "zstd":
        content = zstandard.ZstdDecompressor().decompress(content, max_output_size=plain)
    elif codec == "gzip":
        content = gzip.decompress(content)
    elif codec != "none":
        raise TooNew("codec " + codec)
    must(len(content) == plain, "frame %d has another length" % number)
    return content


# --- encryption --------------------------------------------------------------------------------------------------

def leb128(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def context(*texts):
    return b"".join(leb128(len(text.encode())) + text.encode() for text in texts)


def hkdf(secret, salt, info):
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info.encode() + b"\x01", "sha256")


def decrypt(key, nonce, associated, sealed, what):
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise Damaged("%s cannot be decrypted" % what)


class Cipher:
    def __init__(self, generation, key, repository, object_key):
        self.generation, self.key, self.place = generation, key, context(repository, object_key)

    def open_frame(self, number, header, sealed):
        nonce = struct.pack("<III", number, 0, 0)
        return decrypt(self.key, nonce, self.place + struct.pack("<I", number) + header, sealed, "frame %d" % number)

    def open_section(self, ident, sealed):
        nonce = struct.pack("<III", ident, 1, 0)
        return decrypt(self.key, nonce, self.place + struct.pack("<I", ident), sealed, "section %d" % ident)


class Keys:
    """Private keys and index keys by generation."""

    def __init__(self, repository, secrets):
        self.repository, self.secrets = repository, secrets

    def index(self, generation):
        must(generation in self.secrets, "no key of generation %d" % generation)
        return self.secrets[generation][1]

    def data_cipher(self, generation, sealed, object_key):
        must(generation in self.secrets and len(sealed) == 80, "no key of generation %d" % generation)
        private = X25519PrivateKey.from_private_bytes(self.secrets[generation][0])
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        shared = private.exchange(X25519PublicKey.from_public_bytes(sealed[:32]))
        wrapping = hkdf(shared, sealed[:32] + public, "keyframe data key 1")
        key = decrypt(wrapping, bytes(12), context(self.repository, object_key), sealed[32:], "a data key")
        return Cipher(generation, key, self.repository, object_key)

    def index_cipher(self, generation, salt, object_key):
        return Cipher(generation, hkdf(self.index(generation), salt, "keyframe index 1"), self.repository, object_key)

    def of_header(self, header, object_key):
        """The cipher of the frames of a manifest or a WAL object."""
        told = header.get("encryption")
        if told is None:
            return None
        if "key" in told:
            return self.data_cipher(told["generation"], base64.b64decode(told["key"]), object_key)
        return self.index_cipher(told["generation"], base64.b64decode(told["salt"]), object_key)


def unwrap_passphrase(wrapped, passphrase):
    version, cost, r, p = wrapped[:4]
    if version != 1:
        raise TooNew("passphrase slot %d" % version)
    key = hashlib.scrypt(unicodedata.normalize("NFC", passphrase).encode(), salt=wrapped[4:36], n=1 << cost, r=r, p=p,
                         dklen=32, maxmem=256 * r << cost)
    return decrypt(key, bytes(12), wrapped[:36], wrapped[36:], "a slot")


def open_keys(store, repository, passphrase):
    if not os.path.isdir(store.path("keys")):
        return Keys(repository, {})
    generations = {}
    for name in os.listdir(store.path("keys")):
        value = sealed_json(store.read("keys/%s/generation.json" % name))
        generations[value["generation"]] = value
    newest = max(generations)
    slots = {}
    for name in os.listdir(store.path("keys/%d" % newest)):
        key = "keys/%d/%s" % (newest, name)
        value = sealed_json(store.read(key))
        ours = "removedAt" in value or value.get("publicKey") == generations[newest]["publicKey"]
        if "slot" in value and ours and value["number"] > slots.get(value["slot"], (0,))[0]:
            slots[value["slot"]] = (value["number"], key, value)
    for _, key, slot in slots.values():
        if slot.get("encryptor") != "passphrase":
            continue
        slot_key = unwrap_passphrase(base64.b64decode(slot["wrapped"]), passphrase)
        bundle = Cursor(decrypt(slot_key, bytes(12), context(repository, key), base64.b64decode(slot["bundle"]), key))
        secrets = {}
        while bundle.left():
            number = struct.unpack("<I", bundle.take(4))[0]
            secrets[number] = (bundle.take(32), bundle.take(32))
        for number, value in generations.items():
            check_generation(repository, value, secrets[number], secrets.get(number - 1))
        return Keys(repository, secrets)
    raise Damaged("no slot of a passphrase")


def check_generation(repository, value, secrets, before):
    public = X25519PrivateKey.from_private_bytes(secrets[0]).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    must(public.hex() == value["publicKey"], "public key")
    text = context(repository, str(value["generation"]), value["createdAt"],
                   "true" if value["plainBefore"] else "false", value["publicKey"])
    seal = lambda index: hmac.digest(hkdf(index, b"", "keyframe generation 1"), text, "sha256").hex()
    must(seal(secrets[1]) == value["seal"] and (seal(before[1]) if before else "") == value["chain"], "generation seal")


# --- the store: a directory --------------------------------------------------------------------------------------

class Store:
    def __init__(self, directory):
        self.directory = directory

    def path(self, key):
        return os.path.join(self.directory, *key.split("/"))

    def read(self, key, start=0, end=None):
        with open(self.path(key), "rb") as file:
            file.seek(start)
            return file.read(-1 if end is None else end - start)


# --- manifests ---------------------------------------------------------------------------------------------------

class Manifest:
    def __init__(self, store, record, prefix, keys):
        reference = record["manifest"]
        copy = reference["copy"]
        self.store = store
        self.places = [(reference["key"], 0), (copy["key"], copy["offset"])]
        size = reference["sizeBytes"]
        root = bytes.fromhex(reference["root"])
        footer = Footer(self.proven(size - FOOTER, size, root), size)
        self.table = parse_table(self.proven(footer.table, footer.tail, footer.table_sha))
        head_end = self.table[0][0] if self.table else footer.table
        header, _ = parse_head(self.proven(0, head_end, footer.head_sha), "manifest")
        self.cipher = keys.of_header(header, reference["key"])
        self.generation = header.get("encryption", {}).get("generation")
        tail = self.proven(footer.tail, footer.tail + footer.tail_length, footer.tail_sha)
        index = Cursor(sections(tail, self.cipher)[1])
        self.index = []
        while index.left():
            self.index.append((index.varint(), index.varint(), index.varint()))
        must(len(self.index) == len(self.table) == footer.frames, "chunk index")
        for kind, _, _ in self.index:
            if kind < 64 and not 1 <= kind <= 6:
                raise TooNew("chunk kind %d" % kind)
        self.packs = [pack for _, chunk in self.chunks(6) for pack in parse_packs(chunk, prefix, record["label"])]

    def proven(self, start, end, expected):
        for key, base in self.places:
            try:
                data = self.store.read(key, base + start, base + end)
            except OSError:
                continue
            if len(data) == end - start and sha256(data) == expected:
                return data
        raise Damaged("manifest bytes %d to %d" % (start, end))

    def chunks(self, wanted):
        for number, (kind, first, last) in enumerate(self.index):
            if kind == wanted:
                offset, stored, plain, digest = self.table[number]
                yield (first, last), open_frame(self.proven(offset, offset + stored, digest), number, plain, self.cipher)

    def facts(self):
        return [parse_json(chunk) for _, chunk in self.chunks(1)][0]

    def verbatim(self, which):
        return b"".join(chunk for (text, _), chunk in self.chunks(2) if text == which)

    def entries(self):
        entries = []
        for (first, last), chunk in self.chunks(3):
            must(first == len(entries), "entries do not follow each other")
            entries += parse_entries(chunk)
            must(len(entries) == last + 1, "number of entries")
        return entries


def parse_packs(chunk, prefix, label):
    cursor = Cursor(chunk)
    while cursor.left():
        record = Cursor(cursor.bytes())
        epoch, other, number = record.varint(), record.bytes().decode(), record.varint()
        record.varint(), record.varint(), record.take(32)
        live = record.varint() if record.left() else None
        sealed = record.bytes() if record.left() else None
        base = prefix if epoch == 0 else "%s/%d" % (prefix.rsplit("/", 1)[0], epoch)
        yield "%s/backups/%s/pack-%05d" % (base, other or label, number), sealed


def parse_entries(chunk):
    cursor, path, entries = Cursor(chunk), b"", []
    while cursor.left():
        record = Cursor(cursor.bytes())
        kind, shared = record.varint(), record.varint()
        if kind > 2:
            raise TooNew("entry type %d" % kind)
        must(shared <= len(path), "shared path")
        path = path[:shared] + record.bytes()
        must(b"\0" not in path and all(part not in (b"", b".", b"..") for part in path.split(b"/")), "path %r" % path)
        mode, modified = record.varint(), record.signed()
        size = record.varint() if kind == 0 else 0
        target = record.bytes() if kind == 2 else None
        entries.append({"type": kind, "path": path, "mode": mode, "modified": modified, "size": size, "target": target})
    return entries


def parse_extents(chunk):
    """Yields (frame or None, [(ordinal, file offset, length, frame offset)])."""
    cursor = Cursor(chunk)
    while cursor.left():
        ident, body = cursor.varint(), Cursor(cursor.bytes())
        if ident == 1:
            yield from parse_frames(body)
        elif ident == 2:
            yield None, [(*place, 0) for place in parse_ranges(body)]
        elif ident < 64:
            raise TooNew("extents section %d" % ident)


def parse_contents(chunk):
    """Yields (ordinal, file offset, length, content hash)."""
    cursor = Cursor(chunk)
    while cursor.left():
        ident, body = cursor.varint(), Cursor(cursor.bytes())
        if ident == 64:
            for place in parse_ranges(body):
                yield (*place, body.take(16))


def parse_pack_content(section):
    """Yields per frame (extents, contents), each with the path and the size of its file."""
    cursor, files = Cursor(section), []

    def place():
        index = cursor.varint()
        if index == len(files):
            files.append((cursor.bytes(), cursor.varint()))
        must(index < len(files), "file of a pack's content")
        return (*files[index], cursor.varint(), cursor.varint())

    while cursor.left():
        extents, frame_end = [], 0
        for _ in range(cursor.varint()):
            path, size, file_offset, length = place()
            frame_offset = cursor.signed() + frame_end
            frame_end = frame_offset + length
            extents.append((path, size, file_offset, length, frame_offset))
        yield extents, [(*place(), cursor.take(16)) for _ in range(cursor.varint())]


def content_key(repository):
    # HKDF of RFC 5869; an empty salt counts as zeros.
    extracted = hmac.digest(bytes(32), repository.encode(), "sha256")
    return hmac.digest(extracted, b"keyframe content hash 1\x01", "sha256")


def content_hash(key, content):
    return hmac.digest(key, content, "sha256")[:16]


def parse_frames(body):
    ordinal = file_end = 0
    while body.left():
        pack, first, offset, count = body.varint(), body.varint(), body.varint(), body.varint()
        for number in range(first, first + count):
            stored, plain, digest = body.varint(), body.varint(), body.take(32)
            extents, frame_end = [], 0
            for _ in range(body.varint()):
                step = body.signed()
                ordinal += step
                file_offset = body.signed() + (file_end if step == 0 else 0)
                length = body.varint()
                frame_offset = body.signed() + frame_end
                must(0 <= frame_offset and frame_offset + length <= plain, "extent outside its frame")
                file_end, frame_end = file_offset + length, frame_offset + length
                extents.append((ordinal, file_offset, length, frame_offset))
            yield {"pack": pack, "number": number, "offset": offset, "stored": stored, "plain": plain,
                   "sha256": digest}, extents
            offset += stored


def parse_ranges(body):
    ordinal = file_end = 0
    while body.left():
        step = body.signed()
        ordinal += step
        file_offset = body.signed() + (file_end if step == 0 else 0)
        length = body.varint()
        file_end = file_offset + length
        yield ordinal, file_offset, length


# --- the WAL index -----------------------------------------------------------------------------------------------

def open_container(data, kind, keys, key):
    """Header and plain frames of a container that is read whole."""
    footer = Footer(data[-FOOTER:], len(data))
    header, at = parse_head(data, kind)
    cipher = keys.of_header(header, key) if keys else None
    must(sha256(data[:at]) == footer.head_sha, "header hash")
    table = data[footer.table:footer.tail]
    must(sha256(table) == footer.table_sha, "table hash")
    must(sha256(data[footer.tail:footer.tail + footer.tail_length]) == footer.tail_sha, "tail hash")
    frames = []
    for number, (offset, stored, plain, digest) in enumerate(parse_table(table)):
        must(offset == at and sha256(data[at:at + stored]) == digest, "frame %d" % number)
        frames.append(open_frame(data[at:at + stored], number, plain, cipher))
        at += stored
    must(at == footer.table, "frames end elsewhere")
    return header, frames, cipher


def index_summary(data):
    cursor = Cursor(data)
    version = cursor.varint()
    if version not in (1, 2):
        raise TooNew("WAL index of version %d" % version)
    summary = {"timeline": cursor.varint(), "segmentSize": cursor.varint(), "start": cursor.varint(),
               "detailFrames": cursor.varint(), "relations": cursor.list(lambda: relation(cursor))}
    relations = summary["relations"]
    summary["segments"] = cursor.list(lambda: index_segment(cursor, relations))
    if version > 1:
        outline = cursor.bytes()
        summary["outline"] = parse_json(outline) if outline else None
    must(cursor.left() == 0, "a summary goes on")
    return summary


def relation(cursor):
    return cursor.varint(), cursor.varint(), cursor.varint()


def index_segment(cursor, relations):
    segment = {"detailBytes": cursor.varint(), "records": cursor.varint(), "commits": cursor.varint(),
               "aborts": cursor.varint()}
    flags = cursor.varint()
    if flags & 1:
        first = cursor.varint()
        segment["times"] = [first, first + cursor.varint()]
    if flags & 2:
        segment["xids"] = [cursor.varint(), cursor.varint()]
    if flags & 4:
        segment["fault"] = [cursor.varint(), cursor.bytes().decode(), cursor.bytes().decode()]
    segment["tables"] = index_tables(cursor, relations)
    return segment


def index_tables(cursor, relations):
    def one():
        number = cursor.varint()
        must(number < len(relations), "a relation that is not listed")
        return [list(relations[number]), cursor.signed(), cursor.varint(), cursor.varint(), cursor.varint()]
    return cursor.list(one)


def index_details(data, start, relations):
    cursor = Cursor(data)
    before = [0, start, 0]

    def transaction():
        flags = cursor.varint()
        before[0] += cursor.signed()
        before[1] += cursor.signed()
        length, lived = cursor.varint(), cursor.varint()
        before[2] += cursor.signed()
        told = {"xid": before[0], "lsn": before[1], "end": before[1] + length, "first": before[1] - lived,
                "time": before[2], "flags": flags & 7, "database": cursor.varint(),
                "tables": index_tables(cursor, relations)}
        if flags & 256:
            told["top"] = cursor.varint()
        if flags & 8:
            told["subtransactions"] = index_xids(cursor)
        if flags & 16:
            told["made"] = cursor.list(lambda: list(relation(cursor)))
        if flags & 32:
            told["removed"] = cursor.list(lambda: list(relation(cursor)))
        if flags & 64:
            told["truncated"] = index_xids(cursor)
        if flags & 128:
            told["messages"] = cursor.list(lambda: [cursor.varint(), cursor.bytes().decode(), cursor.varint()])
        return told

    def folded():
        flags, count, lsn = cursor.varint(), cursor.varint(), cursor.varint()
        last_lsn, time = lsn + cursor.varint(), cursor.varint()
        return {"flags": flags, "count": count, "lsn": lsn, "lastLsn": last_lsn, "time": time,
                "lastTime": time + cursor.signed(), "xids": [cursor.varint(), cursor.varint()],
                "tables": index_tables(cursor, relations)}

    details = {"transactions": cursor.list(transaction), "folded": cursor.list(folded)}
    facts, notes = cursor.bytes(), cursor.bytes()
    must(cursor.left() == 0, "details go on")
    details["facts"] = json.loads(facts.decode()) if facts else []
    details["notes"] = parse_json(notes) if notes else None
    return details


def index_xids(cursor):
    xids, before = [], 0
    for _ in range(cursor.varint()):
        before += cursor.signed()
        xids.append(before)
    return xids


def index_blocks(data, relations):
    cursor, found = Cursor(data), []
    for _ in range(cursor.varint()):
        number, fork, next_block, blocks = cursor.varint(), cursor.varint(), 0, []
        for _ in range(cursor.varint()):
            coded = cursor.varint()
            first = next_block + coded // 2
            next_block = first + (cursor.varint() if coded % 2 else 1)
            blocks += range(first, next_block)
        found.append([list(relations[number]), fork, blocks])
    must(cursor.left() == 0, "blocks go on")
    return found


def parse_index(frames):
    summary = index_summary(frames[0])
    count, relations = summary["detailFrames"], summary["relations"]
    details, frame, at = [], 1, 0
    for number, segment in enumerate(summary["segments"]):
        while at == len(frames[frame]) and frame < count:
            frame, at = frame + 1, 0
        content = frames[frame][at:at + segment["detailBytes"]]
        must(len(content) == segment["detailBytes"], "details end early")
        at += len(content)
        details.append(index_details(content, summary["start"] + number * summary["segmentSize"], relations))
    return summary, details, index_blocks(frames[1 + count], relations)


def parse_lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Names:
    """Names of relations, learnt from the notes of segment after segment; of what is not told yet, those told later."""

    def __init__(self, segments):
        self.known = {}
        for segment in reversed(segments):
            self.learn(segment["notes"] or {"relations": []})

    def learn(self, notes):
        for each in notes["relations"]:
            earlier = [(parse_lsn(until), schema, name) for until, schema, name in (each[11] if len(each) > 11 else [])]
            self.known[tuple(each[:3])] = (each[5], each[6], each[7][:1], earlier)

    def of(self, file, lsn):
        """The name at that LSN; nothing for what is no table of a user."""
        if tuple(file) not in self.known:
            return None
        schema, name, kind, earlier = self.known[tuple(file)]
        if kind == "t" or schema in ("pg_catalog", "information_schema", "pg_toast"):
            return None
        for until, was_schema, was_name in earlier:
            if lsn < until:
                schema, name = was_schema, was_name
                break
        return name if schema is None else "%s.%s" % (schema, name)


def log(directory, cluster, epoch, timeline):
    store = Store(directory)
    repository = sealed_json(store.read("keyframe.json"))["id"]
    keys = open_keys(store, repository, os.environ.get("KEYFRAME_PASSPHRASE", ""))
    folder = "clusters/%s/%s/index/%08X" % (cluster, epoch, int(timeline))
    places = sorted(((int(start, 16), -int(end, 16), "%s-%s" % (start, end)) for start, end in
                     (name.split("-") for name in os.listdir(store.path(folder)))))
    segments, told_to = [], 0
    for start, end, name in places:
        if -end <= told_to:
            continue
        header, frames, _ = open_container(store.read(folder + "/" + name), "index", keys, folder + "/" + name)
        belongs = [header[each] for each in ("repository", "cluster", "epoch", "timeline")]
        must(belongs == [repository, cluster, int(epoch), int(timeline)], "it belongs elsewhere")
        must([parse_lsn(header["startLsn"]), parse_lsn(header["endLsn"])] == [start, -end], "LSNs of the header")
        summary, details, _ = parse_index(frames)
        for number, segment in enumerate(details):
            at = summary["start"] + number * summary["segmentSize"]
            if at >= told_to:
                segments.append(segment)
        told_to = -end
    names = Names(segments)
    for segment in segments:
        print_segment(segment, names)


def print_segment(segment, names):
    notes = segment["notes"] or {"relations": [], "transactions": []}
    names.learn(notes)
    said = {parse_lsn(each[1]): each for each in notes["transactions"]}
    for each in segment["transactions"] + segment["folded"]:
        noted = said.get(each["lsn"], [0, "", [], []])
        rewritten = noted[3] if len(noted) > 3 else []
        rows = {}
        for file, inserted, updated, deleted, _ in each["tables"]:
            table = names.of(file, each["lsn"])
            if table is not None and file[2] not in rewritten and inserted | updated | deleted:
                rows[table] = [a + b for a, b in zip(rows.get(table, (0, 0, 0)), (inserted, updated, deleted))]
        print(json.dumps({"xid": each.get("xid", each.get("xids", [0])[0]), "lsn": each["lsn"], "timeMicros": each["time"],
                          "outcome": "abort" if each["flags"] & 1 else "commit", "count": each.get("count", 1),
                          "tables": rows, "actions": noted[2]}, ensure_ascii=False))


# --- what a user wants -------------------------------------------------------------------------------------------

def restore(directory, cluster, label, target):
    store = Store(directory)
    repository = sealed_json(store.read("keyframe.json"))["id"]
    epochs = sorted(int(name[:-5]) for name in os.listdir(store.path("clusters/%s/epochs" % cluster)))
    for epoch in epochs:
        sealed_json(store.read("clusters/%s/epochs/%d.json" % (cluster, epoch)))
    found = [epoch for epoch in epochs
             if os.path.exists(store.path("clusters/%s/%d/backups/%s/backup.json" % (cluster, epoch, label)))]
    must(found, "no such backup")
    prefix = "clusters/%s/%d" % (cluster, found[0])
    record = sealed_json(store.read("%s/backups/%s/backup.json" % (prefix, label)))
    keys = open_keys(store, repository, os.environ.get("KEYFRAME_PASSPHRASE", ""))
    manifest = Manifest(store, record, prefix, keys)
    entries = manifest.entries()
    base = os.fsencode(target)
    missing = []
    for entry in entries:
        path = os.path.join(base, entry["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if entry["type"] == 1:
            os.makedirs(path, exist_ok=True)
        elif entry["type"] == 2:
            os.symlink(entry["target"], path)
        else:
            with open(path, "wb") as file:
                file.truncate(entry["size"])
        missing.append(entry["size"])
    for _, chunk in manifest.chunks(4):
        for frame, extents in parse_extents(chunk):
            plain = read_frame(store, keys, manifest.packs[frame["pack"]], frame) if frame else None
            for ordinal, file_offset, length, frame_offset in extents:
                entry = entries[ordinal]
                must(entry["type"] == 0 and 0 <= file_offset and file_offset + length <= entry["size"], "extent")
                missing[ordinal] -= length
                if plain is not None:
                    with open(os.path.join(base, entry["path"]), "r+b") as file:
                        file.seek(file_offset)
                        file.write(plain[frame_offset:frame_offset + length])
    must(not any(missing), "bytes of a file are missing or come twice")
    key = (hkdf(keys.index(manifest.generation), b"", "keyframe content hash 1") if manifest.generation
           else content_key(repository))
    check_contents(manifest, entries, base, key)
    for entry in reversed(entries):
        path = os.path.join(base, entry["path"])
        if entry["type"] != 2:
            os.chmod(path, entry["mode"])
            os.utime(path, (entry["modified"], entry["modified"]))
    facts = manifest.facts()
    known = {name: value for name, value in record.items() if name not in ("manifest", "storedBytes", "sha256")}
    must(facts == known, "facts and record differ")
    must(manifest.verbatim(2).decode() == record["backupLabel"], "backup_label")
    with open(target + ".backup_manifest", "wb") as file:
        file.write(manifest.verbatim(1))


def check_contents(manifest, entries, base, key):
    for _, chunk in manifest.chunks(4):
        for ordinal, file_offset, length, expected in parse_contents(chunk):
            with open(os.path.join(base, entries[ordinal]["path"]), "rb") as file:
                file.seek(file_offset)
                must(content_hash(key, file.read(length)) == expected, "content hash in %r" % entries[ordinal]["path"])


def read_frame(store, keys, pack, frame):
    key, sealed = pack
    stored = store.read(key, frame["offset"], frame["offset"] + frame["stored"])
    must(sha256(stored) == frame["sha256"], "frame %d of %s" % (frame["number"], key))
    cipher = keys.data_cipher(struct.unpack("<I", sealed[:4])[0], sealed[4:], key) if sealed else None
    return open_frame(stored, frame["number"], frame["plain"], cipher)


def wal(directory, cluster, epoch, name, target):
    store = Store(directory)
    repository = sealed_json(store.read("keyframe.json"))["id"]
    keys = open_keys(store, repository, os.environ.get("KEYFRAME_PASSPHRASE", ""))
    folder = "" if name.endswith(".history") else "%s/%s/" % (name[:8], name[8:16])
    key = "clusters/%s/%s/wal/%s%s" % (cluster, epoch, folder, name)
    if os.path.exists(store.path(key)):
        content, header = read_wal(store.read(key), keys, key)
        must(header["name"] == name, "name")
    else:
        content = read_parts(store, keys, key, name)
    with open(target, "wb") as file:
        file.write(content)


def read_parts(store, keys, key, name):
    content = b""
    for part in sorted(os.listdir(store.path(key + ".parts"))):
        start, end = (int(each, 16) for each in part.split("-"))
        if start > len(content):
            break
        piece, header = read_wal(store.read(key + ".parts/" + part), keys, key + ".parts/" + part)
        must(header["name"] == name + ".parts/" + part and header["kind"] == "part", "name")
        must(len(piece) == end - start, "length of a part")
        both = min(len(content) - start, len(piece))
        must(content[start:start + both] == piece[:both], "parts hold different bytes of the same WAL")
        content += piece[len(content) - start:]
    must(content, "no part begins the segment")
    return content.ljust(header["segmentSizeBytes"], b"\0")


def wal_identity(index_key, digest):
    return hmac.digest(hkdf(index_key, b"", "keyframe wal identity 1"), digest, "sha256").hex()


def read_wal(data, keys=None, key=""):
    header, frames, cipher = open_container(data, "wal", keys, key)
    content = b"".join(frames)
    identity = wal_identity(keys.index(cipher.generation), sha256(content)) if cipher else sha256(content).hex()
    must(len(content) == header["sizeBytes"] and identity == header["hmac" if cipher else "sha256"], "content")
    return content, header


def vectors(path):
    with open(path, encoding="utf-8") as file:
        known = json.load(file)
    for each in known["varint"]:
        must(Cursor(bytes.fromhex(each["hex"])).varint() == each["value"], "varint %r" % each)
    for each in known["signed"]:
        must(Cursor(bytes.fromhex(each["hex"])).signed() == each["value"], "signed %r" % each)
    frame = known["frameHeader"]
    expected = (frame["codec"], frame["plainBytes"], frame["payloadBytes"], frame["number"])
    must(parse_frame_header(bytes.fromhex(frame["hex"])) == (*expected, 0), "frame header")
    must(sealed_json(known["sealedJson"]["text"].encode())["label"] == known["sealedJson"]["label"], "sealed JSON")
    entries = parse_entries(bytes.fromhex(known["entries"]["hex"]))
    for entry, each in zip(entries, known["entries"]["entries"], strict=True):
        must(entry["path"].decode() == each["path"] and entry["mode"] == each["mode"], "entry %r" % each)
        must(("file", "directory", "symlink")[entry["type"]] == each["type"], "entry %r" % each)
        must(entry["modified"] == each["modifiedAtSeconds"] and entry["size"] == each["sizeBytes"], "entry %r" % each)
        must((entry["target"] or b"").decode() == each.get("linkTarget", ""), "entry %r" % each)
    found = [[frame and [frame["pack"], frame["number"], frame["offset"], frame["stored"], frame["plain"],
                         frame["sha256"].hex()], [list(extent) for extent in extents]]
             for frame, extents in parse_extents(bytes.fromhex(known["extents"]["hex"]))]
    must(found == known["extents"]["frames"], "extents %r" % found)
    each = known["contentHash"]
    must(content_key(each["repository"]).hex() == each["key"], "content key")
    must(content_hash(bytes.fromhex(each["key"]), each["content"].encode()).hex() == each["hash"], "content hash")
    found = [[*place, digest.hex()] for *place, digest in parse_contents(bytes.fromhex(known["contents"]["hex"]))]
    must(found == known["contents"]["contents"], "contents %r" % found)
    found = [{"extents": [[path.decode(), *rest] for path, *rest in extents],
              "contents": [[path.decode(), *rest, digest.hex()] for path, *rest, digest in contents]}
             for extents, contents in parse_pack_content(bytes.fromhex(known["packContent"]["hex"]))]
    must(found == known["packContent"]["frames"], "pack content %r" % found)
    live = known["packsWithLive"]
    packs = [key for key, _ in parse_packs(bytes.fromhex(live["hex"]), "clusters/main/2", "20261120T030000Z-full")]
    must(packs == live["keys"], "packs with what is alive %r" % packs)
    packs = [key for key, _ in parse_packs(bytes.fromhex(known["packs"]["hex"]), "clusters/main/2", "20261120T030000Z-full")]
    must(packs == known["packs"]["keys"], "packs %r" % packs)
    encryption_vectors(known["encryption"])
    content, header = read_wal(bytes.fromhex(known["wal"]["hex"]))
    must(content.decode() == known["wal"]["content"] and header["name"] == known["wal"]["name"], "WAL object")
    for each in known["walIndex"]:
        summary, details, blocks = parse_index([bytes.fromhex(frame) for frame in each["frames"]])
        found = json.loads(json.dumps({"summary": summary, "details": details, "blocks": blocks}))
        must(found == each["tells"], "WAL index of version %d: %r" % (each["version"], found))


def encryption_vectors(known):
    repository, where, frame = known["repository"], known["objectKey"], bytes.fromhex(known["frame"])
    slot_key = unwrap_passphrase(bytes.fromhex(known["slot"]["wrapped"]), known["slot"]["passphrase"])
    bundle = Cursor(decrypt(slot_key, bytes(12), context(repository, known["slot"]["key"]),
                            bytes.fromhex(known["slot"]["bundle"]), "bundle"))
    number, private, index = struct.unpack("<I", bundle.take(4))[0], bundle.take(32), bundle.take(32)
    check_generation(repository, sealed_json(known["generation"].encode()), (private, index), None)
    keys = Keys(repository, {number: (private, index)})
    cipher = keys.data_cipher(number, bytes.fromhex(known["sealedKey"]), where)
    must(open_frame(frame, 5, len(known["content"]), cipher).decode() == known["content"], "encrypted frame")
    section = keys.index_cipher(number, bytes.fromhex(known["salt"]), where).open_section(3, bytes.fromhex(known["section"]))
    must(section.decode() == known["content"], "encrypted section")
    must(wal_identity(index, sha256(known["content"].encode())) == known["walIdentity"], "identity of WAL")
    must(content_hash(hkdf(index, b"", "keyframe content hash 1"), known["content"].encode()).hex()
         == known["contentHash"], "keyed content hash")


def main(arguments):
    commands = {"restore": restore, "wal": wal, "log": log, "vectors": vectors}
    if not arguments or arguments[0] not in commands:
        sys.exit(__doc__)
    try:
        commands[arguments[0]](*arguments[1:])
    except Damaged as fault:
        sys.exit("damaged: %s" % fault)
    except TooNew as fault:
        sys.exit("needs a newer reader: %s" % fault)


main(sys.argv[1:])
