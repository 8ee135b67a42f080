# Reads cases line by line, as ../cases.ts writes them, and says of each what `verify` made of it.
import base64
import sys

from verify import Refused, verify


def split(header):
    name, value = header.split(":")
    # As http.server and WSGI have them.
    return name, base64.b64decode(value).decode("latin-1")


for line in sys.stdin:
    now, secrets, headers, body = line.rstrip("\n").split("\t")
    try:
        verify(
            [base64.b64decode(secret).decode() for secret in secrets.split(",")],
            dict(split(header) for header in headers.split(",")),
            base64.b64decode(body),
            int(now),
        )
        print("accepted")
    except Refused:
        print("refused")
    except Exception as error:
        print("error", repr(error))
