"""Calls the local AWS services for xtask: one JSON line in, one JSON line out.

    in:  {"service": "sns", "operation": "publish", "params": {...}}
    out: {"ok": {...}}  or  {"error": {"code": "...", "message": "..."}}

So xtask needs neither an AWS SDK nor an own implementation of the AWS wire
protocols; this file makes no decisions. A parameter {"$file": "path"} is sent as
the bytes of that file, {"$zip": {"name": "path"}} as a zip of programs under
these names. The service "local" creates keys, for which xtask has no library.
Endpoint, region and credentials come from the variables of the SDK. The program
ends at the end of its standard input.
"""

import base64
import datetime
import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# The stack is on this machine, so a response that exceeds these limits will not arrive.
CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=90)
CLIENTS = {}


def client(service):
    if service not in CLIENTS:
        CLIENTS[service] = boto3.client(service, config=CONFIG)
    return CLIENTS[service]


def to_param(value):
    if isinstance(value, dict):
        if set(value) == {"$file"}:
            with open(value["$file"], "rb") as file:
                return file.read()
        if set(value) == {"$zip"}:
            return zipped(value["$zip"])
        return {key: to_param(member) for key, member in value.items()}
    if isinstance(value, list):
        return [to_param(member) for member in value]
    return value


def zipped(programs):
    bytes_of = io.BytesIO()
    # Not compressed: it stays on this machine, and compressing six functions would be the slowest step of a
    # deployment.
    with zipfile.ZipFile(bytes_of, "w", zipfile.ZIP_STORED) as archive:
        for name, path in programs.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            with open(path, "rb") as file:
                archive.writestr(entry, file.read())
    return bytes_of.getvalue()


def from_member(value):
    if isinstance(value, StreamingBody):
        return from_member(value.read())
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


class Local:
    def make_key(self, Hosts):
        """Creates a key, and a request for a certificate of these hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, Hosts[0])])
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in Hosts])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(names, False)
        pem = serialization.Encoding.PEM
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return {
            "PrivateKey": key.private_bytes(pem, *plain).decode(),
            "Csr": request.sign(key, hashes.SHA256()).public_bytes(pem).decode(),
        }


CLIENTS["local"] = Local()


def answer(line):
    request = json.loads(line)
    operation = getattr(client(request["service"]), request["operation"])
    try:
        output = operation(**to_param(request.get("params", {})))
    except ClientError as refusal:
        error = refusal.response["Error"]
        return {"error": {"code": error["Code"], "message": error["Message"]}}
    except (BotoCoreError, OSError) as failure:
        return {"error": {"code": type(failure).__name__, "message": str(failure)}}
    output.pop("ResponseMetadata", None)
    return {"ok": output}


def main():
    for line in sys.stdin:
        print(json.dumps(answer(line), default=from_member), flush=True)


if __name__ == "__main__":
    main()
