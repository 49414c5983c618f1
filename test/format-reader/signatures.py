#!/usr/bin/env python3
"""Checks the signed chain of a repository without Keyframe, and without a library for Ed25519. Written from §3 and §14 of
docs/format/repository-v1.md and RFC 8032 alone.

  signatures.py REPOSITORY CLUSTER EPOCH PUBLICKEY

Prints what the chain vouches for as JSON; ends with 1 and says what is wrong.
"""
import base64
import hashlib
import json
import os
import re
import sys

SEAL = 81
LINE = 140
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def must(condition, what):
    if not condition:
        sys.exit(what)


# --- Ed25519 (RFC 8032, 5.1 and the code in its section 6) ---------------------------------------------------------

def add(one, two):
    a = (one[1] - one[0]) * (two[1] - two[0]) % P
    b = (one[1] + one[0]) * (two[1] + two[0]) % P
    c, d = 2 * one[3] * two[3] * D % P, 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(factor, point):
    result = (0, 1, 1, 0)
    while factor > 0:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def recover(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * ROOT % P
    if (x * x - square) % P != 0 or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = recover(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover(BASE_Y, 0), BASE_Y, 1, recover(BASE_Y, 0) * BASE_Y % P)


def verify(public, message, signature):
    key, commitment = decompress(public), decompress(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    one = multiply(scalar, BASE)
    two = add(commitment, multiply(int.from_bytes(digest, "little") % ORDER, key))
    return (one[0] * two[2] - two[0] * one[2]) % P == 0 and (one[1] * two[2] - two[1] * one[2]) % P == 0


# --- signed objects ------------------------------------------------------------------------------------------------

class Repository:
    def __init__(self, directory, public):
        self.directory = directory
        self.id = json.loads(self.read("keyframe.json"))["id"]
        must(public.startswith("ed25519:"), "no public key")
        self.trusted = {}
        self.believe(base64.b64decode(public[8:]))
        self.believe_introduced()

    def read(self, key):
        with open(os.path.join(self.directory, key), "rb") as file:
            return file.read()

    def names(self, prefix):
        folder = os.path.join(self.directory, prefix)
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def believe(self, public):
        self.trusted[hashlib.sha256(public).hexdigest()[:32]] = public

    def believe_introduced(self):
        known = -1
        while known < len(self.trusted):
            known = len(self.trusted)
            for name in self.names("signers"):
                members, signer = self.signed("signers/" + name)
                if signer in self.trusted:
                    self.believe(base64.b64decode(members["publicKey"][8:]))

    def signed(self, key):
        """Members of a sealed object and the id of the believed key that signed it, or None."""
        data = self.read(key)
        body = data[:-SEAL]
        must(data[-SEAL:] == b'  "sha256": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode(), key + ": seal")
        match = re.fullmatch(rb'  "signature": "([0-9a-f]{32}):([A-Za-z0-9+/]{86}==)",\n', body[-LINE:])
        if match is None or match[1].decode() not in self.trusted:
            return json.loads(data), None
        signer = match[1].decode()
        message = b"keyframe signature 1\n%s\n%s\n" % (self.id.encode(), key.encode()) + body[:-LINE]
        must(verify(self.trusted[signer], message, base64.b64decode(match[2])), key + ": signature")
        return json.loads(data), signer


def check(directory, cluster, epoch, public):
    repository = Repository(directory, public)
    prefix = "clusters/%s/%s/" % (cluster, epoch)
    previous, backups, expired, wal = None, {}, set(), 0
    names = repository.names(prefix + "chain")
    for number, name in enumerate(names, 1):
        key = prefix + "chain/" + name
        members, signer = repository.signed(key)
        place = (members["repository"], members["cluster"], str(members["epoch"]))
        must(place == (repository.id, cluster, epoch), key + ": place")
        must(signer is not None, key + ": not signed by a believed key")
        must(members["number"] == number and name == "%010d" % number, key + ": number")
        must(members.get("previous") == previous, key + ": does not follow the one before")
        previous = hashlib.sha256(repository.read(key)).hexdigest()
        content = members["content"]
        if members["kind"] == "checkpoint":
            backups.update({each["label"]: each["sha256"] for each in content["backups"]})
            wal += sum(len(base64.b64decode(run["identities"])) // 32 for run in content["wal"])
        elif members["kind"] == "expiry":
            expired.update(content["backups"])
    for label in expired:
        backups.pop(label, None)
    for label, digest in backups.items():
        key = prefix + "backups/%s/backup.json" % label
        must(hashlib.sha256(repository.read(key)).hexdigest() == digest, key + ": another one than was signed")
    print(json.dumps({"entries": len(names), "head": previous, "backups": sorted(backups), "segments": wal}))


if len(sys.argv) != 5:
    sys.exit(__doc__)
check(*sys.argv[1:])
