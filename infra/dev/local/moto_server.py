"""Serves moto on a free loopback port, with private CAs that follow their orders.

moto's CAs issue every certificate for 365 days from now, and a new one for every
request. Here, as in AWS, a certificate has the ordered validity within that of its
CA, a repeated order within five minutes returns the same certificate, and a
disabled CA issues nothing.

    python moto_server.py

Prints `listening 127.0.0.1:PORT` before it is ready. Ends on SIGTERM and SIGINT.
"""

import datetime
import json
import os
import signal
import sys
import threading

# Importing the module in this folder must not write compiled files to it.
sys.dont_write_bytecode = True

import loopback

if __name__ == "__main__":
    # Before the slow imports, so that the parent has the address at once.
    BOUND = loopback.bind()
    # moto builds addresses from this variable.
    os.environ["MOTO_PORT"] = str(BOUND.getsockname()[1])

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from moto.acmpca.exceptions import InvalidStateException
from moto.acmpca.models import CertificateAuthority
from moto.acmpca.responses import ACMPCAResponse
from moto.core.exceptions import JsonRESTError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import MotoRequestHandler, signal_handler
from werkzeug.serving import make_server

ROOT_TEMPLATE = "arn:aws:acm-pca:::template/RootCACertificate/V1"
TOKEN_LASTS = datetime.timedelta(minutes=5)
# A private CA backdates the start of the validity by this much, for clocks that differ.
BACKDATED = datetime.timedelta(hours=1)
DAYS = {"DAYS": 1, "MONTHS": 30, "YEARS": 365}

# The validity of the certificate that a thread is issuing.
ordered = threading.local()
orders = {}
lock = threading.Lock()


def moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def validity(params, now):
    before, until = params.get("ValidityNotBefore"), params["Validity"]
    start = moment(before["Value"]) if before else now - BACKDATED
    if until["Type"] == "ABSOLUTE":
        return start, moment(until["Value"])
    return start, now + datetime.timedelta(days=until["Value"] * DAYS[until["Type"]])


def issue_certificate(self):
    params = json.loads(self.body)
    arn, template = params["CertificateAuthorityArn"], params.get("TemplateArn")
    authority = self.acmpca_backend.describe_certificate_authority(arn)
    if authority.status != "ACTIVE" and template != ROOT_TEMPLATE:
        raise InvalidStateException(arn)
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    start, end = validity(params, now)
    if authority.certificate and end > authority.certificate.not_valid_after_utc:
        raise JsonRESTError("ValidationException", f"The certificate would outlive {arn}.")
    order = (arn, params.get("IdempotencyToken"))
    with lock:
        at, issued = orders.get(order, (None, None))
        if order[1] and issued and now < at + TOKEN_LASTS:
            return json.dumps({"CertificateArn": issued})
        ordered.dates = start, end
        issued = authority.issue_certificate(params["Csr"].encode(), template)
        orders[order] = now, issued
    return json.dumps({"CertificateArn": issued})


def generate_cert(self, subject, public_key, extensions):
    start, end = ordered.dates
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(self.issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


ACMPCAResponse.issue_certificate = issue_certificate
CertificateAuthority.generate_cert = generate_cert

if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal_handler)
    application = DomainDispatcherApplication(create_backend_app)
    application.debug = True
    host, port = BOUND.getsockname()
    server = make_server(
        host, port, application, threaded=True, request_handler=MotoRequestHandler, fd=BOUND.fileno()
    )
    BOUND.listen(server.request_queue_size)
    server.serve_forever()
