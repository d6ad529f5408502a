"""Is the server at AWS_ENDPOINT_URL_APP_MESH one that boto3 takes for App Mesh?

Creates, describes, lists, updates, tags and deletes every kind of resource, expects typed exceptions, paginates, and
puts every JSON spec of the corpus (`../shared/corpus` beside the repository, when it is there) into a scratch mesh.
Leaves nothing behind on the server. Ends with `N passed, N failed, N skipped` and exit code 1 if anything failed.
"""

import argparse
import copy
import datetime
import json
import os
import pathlib
import sys
import traceback
import urllib.error
import urllib.request
import uuid

import boto3

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BASE = "/v20190125"

NODE = {
    "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
    "serviceDiscovery": {"dns": {"hostname": "orders.shop.local"}},
}
ROUTER = {"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]}
GATEWAY = {"listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}]}


def route(weight):
    target = {"virtualNode": "orders", "weight": weight}
    return {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [target]}}, "priority": 0}


def gateway_route(prefix):
    target = {"virtualService": {"virtualServiceName": "a b/orders.local"}}
    return {"httpRoute": {"match": {"prefix": prefix}, "action": {"target": target}}}


class Kind:
    """One kind of resource: how boto3 calls its operations, and where it stands in a mesh."""

    def __init__(self, kind, plural, parents, name, spec, other_spec):
        self.kind = kind
        self.plural = plural
        self.parents = parents  # the names that lead to it, beside the mesh's
        self.name = name
        self.spec = spec
        self.other_spec = other_spec

    @property
    def name_member(self):
        return f"{self.kind}Name"

    def where(self, mesh):
        return {} if self.kind == "mesh" else {"meshName": mesh, **self.parents}

    def named(self, mesh, name=None):
        name = mesh if self.kind == "mesh" else name or self.name
        return {**self.where(mesh), self.name_member: name}

    def call(self, appmesh, verb, **arguments):
        return getattr(appmesh, f"{verb}_{snake(self.kind)}")(**arguments)[self.kind]

    def paginator(self):
        return f"list_{snake(self.plural)}"


def snake(name):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


KINDS = [
    Kind("mesh", "meshes", {}, None, {"egressFilter": {"type": "DROP_ALL"}}, {"egressFilter": {"type": "ALLOW_ALL"}}),
    Kind("virtualNode", "virtualNodes", {}, "orders", NODE, {**NODE, "backends": []}),
    Kind("virtualRouter", "virtualRouters", {}, "orders", ROUTER, {"listeners": []}),
    Kind("route", "routes", {"virtualRouterName": "orders"}, "all", route(100), route(0)),
    Kind(
        "virtualService",
        "virtualServices",
        {},
        "a b/orders.local",
        {"provider": {"virtualRouter": {"virtualRouterName": "orders"}}},
        {},
    ),
    Kind("virtualGateway", "virtualGateways", {}, "edge", GATEWAY, {**GATEWAY, "logging": {}}),
    Kind("gatewayRoute", "gatewayRoutes", {"virtualGatewayName": "edge"}, "orders", gateway_route("/o"), gateway_route("/")),
]
BY_KIND = {kind.kind: kind for kind in KINDS}


class Scratch:
    """A mesh for one check, taken down with everything in it at the end."""

    def __init__(self, appmesh):
        self.appmesh = appmesh
        self.mesh = f"conformance-{uuid.uuid4().hex[:12]}"

    def __enter__(self):
        self.appmesh.create_mesh(meshName=self.mesh)
        return self

    def __exit__(self, *_):
        take_down(self.appmesh, self.mesh)

    def create(self, kind, name=None, spec=None, **more):
        kind = BY_KIND[kind]
        spec = kind.spec if spec is None else spec
        return kind.call(self.appmesh, "create", **{**kind.named(self.mesh, name), "spec": spec, **more})

    def fill(self):
        """One resource of every kind."""
        for kind in KINDS[1:]:
            self.create(kind.kind)
        return self


def take_down(appmesh, mesh):
    try:
        appmesh.describe_mesh(meshName=mesh)
    except appmesh.exceptions.NotFoundException:
        return
    listed = lambda kind, **where: [
        item[BY_KIND[kind].name_member]
        for page in appmesh.get_paginator(BY_KIND[kind].paginator()).paginate(meshName=mesh, **where)
        for item in page[BY_KIND[kind].plural]
    ]
    for gateway in listed("virtualGateway"):
        for name in listed("gatewayRoute", virtualGatewayName=gateway):
            appmesh.delete_gateway_route(meshName=mesh, virtualGatewayName=gateway, gatewayRouteName=name)
        appmesh.delete_virtual_gateway(meshName=mesh, virtualGatewayName=gateway)
    for name in listed("virtualService"):
        appmesh.delete_virtual_service(meshName=mesh, virtualServiceName=name)
    for router in listed("virtualRouter"):
        for name in listed("route", virtualRouterName=router):
            appmesh.delete_route(meshName=mesh, virtualRouterName=router, routeName=name)
        appmesh.delete_virtual_router(meshName=mesh, virtualRouterName=router)
    for name in listed("virtualNode"):
        appmesh.delete_virtual_node(meshName=mesh, virtualNodeName=name)
    appmesh.delete_mesh(meshName=mesh)


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {json.dumps(actual, default=str)} is not {json.dumps(expected, default=str)}")


def refused(exception, call, *mentions):
    """Expects this very type of exception, with a message that mentions these."""
    try:
        call()
    except exception as error:
        message = error.response["Error"]["Message"]
        for mention in mentions:
            assert mention in message, f"{message!r} does not mention {mention!r}"
        return error.response
    raise AssertionError(f"accepted, where {exception.__name__} was expected")


# The checks. Each is one function of the client; what they find wrong they raise.


def every_kind_lives_and_dies(appmesh):
    missing = appmesh.exceptions.NotFoundException
    mesh = f"conformance-{uuid.uuid4().hex[:12]}"
    uids = set()
    try:
        for kind in KINDS:
            named = kind.named(mesh)
            refused(missing, lambda: kind.call(appmesh, "describe", **named))
            created = kind.call(appmesh, "create", **named, spec=kind.spec)
            equal(created["spec"], kind.spec, f"{kind.kind} spec")
            equal(created[kind.name_member], named[kind.name_member], f"{kind.kind} name")
            equal(created["status"], {"status": "ACTIVE"}, f"{kind.kind} status")
            metadata = created["metadata"]
            equal(metadata["version"], 1, f"{kind.kind} version")
            assert isinstance(metadata["createdAt"], datetime.datetime)
            assert len(metadata["meshOwner"]) == 12 and metadata["resourceOwner"] == metadata["meshOwner"]
            assert f":mesh/{mesh}" in metadata["arn"], metadata["arn"]
            uids.add(str(uuid.UUID(metadata["uid"])))
            equal(kind.call(appmesh, "describe", **named), created, f"{kind.kind} described")
            updated = kind.call(appmesh, "update", **named, spec=kind.other_spec)
            equal(updated["spec"], kind.other_spec, f"{kind.kind} updated spec")
            equal(updated["metadata"]["version"], 2, f"{kind.kind} updated version")
            equal(updated["metadata"]["uid"], metadata["uid"], f"{kind.kind} uid after an update")
            assert updated["metadata"]["lastUpdatedAt"] >= metadata["lastUpdatedAt"]
            kind.call(appmesh, "update", **named, spec=kind.spec)
        equal(len(uids), len(KINDS), "distinct uids")
        for kind in reversed(KINDS):
            named = kind.named(mesh)
            deleted = kind.call(appmesh, "delete", **named)
            equal(deleted["status"], {"status": "DELETED"}, f"{kind.kind} status when deleted")
            equal(deleted["spec"], kind.spec, f"{kind.kind} spec when deleted")
            refused(missing, lambda: kind.call(appmesh, "describe", **named))
            refused(missing, lambda: kind.call(appmesh, "delete", **named))
    finally:
        take_down(appmesh, mesh)


def every_kind_is_tagged(appmesh):
    with Scratch(appmesh) as scratch:
        scratch.fill()
        for kind in KINDS:
            arn = kind.call(appmesh, "describe", **kind.named(scratch.mesh))["metadata"]["arn"]
            tags = lambda: {
                tag["key"]: tag["value"]
                for page in appmesh.get_paginator("list_tags_for_resource").paginate(
                    resourceArn=arn, PaginationConfig={"PageSize": 1}
                )
                for tag in page["tags"]
            }
            equal(tags(), {}, f"tags of a new {kind.kind}")
            appmesh.tag_resource(resourceArn=arn, tags=[{"key": "team", "value": "orders"}, {"key": "stage", "value": ""}])
            appmesh.tag_resource(resourceArn=arn, tags=[{"key": "team", "value": "stock"}])
            equal(tags(), {"team": "stock", "stage": ""}, f"merged tags of a {kind.kind}")
            appmesh.untag_resource(resourceArn=arn, tagKeys=["stage", "never-there"])
            equal(tags(), {"team": "stock"}, f"remaining tags of a {kind.kind}")
            too_many = [{"key": f"k{n}", "value": "v"} for n in range(50)]
            refused(
                appmesh.exceptions.TooManyTagsException,
                lambda: appmesh.tag_resource(resourceArn=arn, tags=too_many),
            )
            equal(tags(), {"team": "stock"}, f"tags of a {kind.kind} after a refusal")
            unknown = f"{arn}-unknown"
            refused(
                appmesh.exceptions.NotFoundException,
                lambda: appmesh.list_tags_for_resource(resourceArn=unknown),
            )


def tags_come_with_creation(appmesh):
    with Scratch(appmesh) as scratch:
        tags = [{"key": "team", "value": "orders"}]
        arn = scratch.create("virtualNode", tags=tags)["metadata"]["arn"]
        equal(appmesh.list_tags_for_resource(resourceArn=arn)["tags"], tags, "tags given at creation")


def every_list_paginates(appmesh):
    many = {
        "virtualNode": [(f"n{n}", {}) for n in range(7)],
        "virtualRouter": [(f"r{n}", {}) for n in range(7)],
        "route": [(f"t{n}", route(n)) for n in range(7)],
        "virtualService": [(f"s{n}.local", {}) for n in range(7)],
        "virtualGateway": [(f"g{n}", GATEWAY) for n in range(2)],
        "gatewayRoute": [(f"o{n}", gateway_route(f"/{n}")) for n in range(7)],
    }
    with Scratch(appmesh) as scratch:
        scratch.fill()
        for kind, resources in many.items():
            for name, spec in resources:
                scratch.create(kind, name, spec)
        for kind in KINDS[1:]:
            paginator = appmesh.get_paginator(kind.paginator())
            pages = list(paginator.paginate(**kind.where(scratch.mesh), PaginationConfig={"PageSize": 2}))
            assert len(pages) > 1, f"{kind.plural} come in one page"
            assert "nextToken" not in pages[-1] and all("nextToken" in page for page in pages[:-1])
            items = [item for page in pages for item in page[kind.plural]]
            expected = {kind.name} | {name for name, _ in many[kind.kind]}
            equal(len(items), len(expected), f"number of {kind.plural}")
            assert {item[kind.name_member] for item in items} == expected, f"{kind.plural}: {items}"
            for item in items:
                assert item["version"] == 1 and item["meshName"] == scratch.mesh and item["arn"], item
                assert "spec" not in item and "uid" not in item, item
        meshes = [
            mesh["meshName"]
            for page in appmesh.get_paginator("list_meshes").paginate(PaginationConfig={"PageSize": 1})
            for mesh in page["meshes"]
        ]
        assert scratch.mesh in meshes
        bad = appmesh.exceptions.BadRequestException
        refused(bad, lambda: appmesh.list_virtual_nodes(meshName=scratch.mesh, limit=101), "limit")
        refused(bad, lambda: appmesh.list_meshes(nextToken="made up"), "nextToken")


def tokens_make_repetition_harmless(appmesh):
    with Scratch(appmesh) as scratch:
        scratch.fill()
        for kind in KINDS:
            named = kind.named(scratch.mesh)
            token = str(uuid.uuid4())
            update = lambda spec, token: kind.call(appmesh, "update", **named, spec=spec, clientToken=token)
            first = update(kind.other_spec, token)
            update(kind.spec, str(uuid.uuid4()))
            equal(update(kind.other_spec, token), first, f"repeated update of a {kind.kind}")
            equal(kind.call(appmesh, "describe", **named)["spec"], kind.spec, f"{kind.kind} after a repetition")
            refused(appmesh.exceptions.ConflictException, lambda: update(kind.spec, token), token)
        refused(
            appmesh.exceptions.BadRequestException,
            lambda: appmesh.create_mesh(meshName="m", clientToken="not a token"),
            "clientToken",
        )


def errors_are_typed(appmesh):
    errors = appmesh.exceptions
    with Scratch(appmesh) as scratch:
        scratch.fill()
        mesh = scratch.mesh
        conflict = refused(errors.ConflictException, lambda: scratch.create("virtualNode"), "orders")
        equal(conflict["ResponseMetadata"]["HTTPStatusCode"], 409, "status of a conflict")
        assert conflict["ResponseMetadata"]["RequestId"], "a request id"
        in_use = errors.ResourceInUseException
        refused(in_use, lambda: appmesh.delete_mesh(meshName=mesh))
        refused(in_use, lambda: appmesh.delete_virtual_node(meshName=mesh, virtualNodeName="orders"))
        refused(in_use, lambda: appmesh.delete_virtual_router(meshName=mesh, virtualRouterName="orders"))
        refused(in_use, lambda: appmesh.delete_virtual_service(meshName=mesh, virtualServiceName="a b/orders.local"))
        refused(in_use, lambda: appmesh.delete_virtual_gateway(meshName=mesh, virtualGatewayName="edge"))
        dangling = copy.deepcopy(route(1))
        dangling["httpRoute"]["action"]["weightedTargets"][0]["virtualNode"] = "nowhere"
        refused(errors.NotFoundException, lambda: scratch.create("route", "other", dangling), "nowhere")
        bad = errors.BadRequestException
        refused(bad, lambda: scratch.create("route", "other", route(200)), "weight")
        refused(bad, lambda: scratch.create("route", "other", {"priority": 1}))
        refused(bad, lambda: appmesh.create_mesh(meshName="m" * 256), "meshName")
        udp = {"listeners": [{"portMapping": {"port": 53, "protocol": "udp"}}]}
        refused(bad, lambda: scratch.create("virtualRouter", "other", udp), "protocol")
        for n in range(2):
            scratch.create("virtualGateway", f"edge-{n}")
        refused(errors.LimitExceededException, lambda: scratch.create("virtualGateway", "one-too-many"))
        refused(errors.ForbiddenException, lambda: appmesh.describe_mesh(meshName=mesh, meshOwner="999999999999"))


def what_app_mesh_accepted_is_accepted(appmesh):
    with Scratch(appmesh) as scratch:
        equal(appmesh.describe_mesh(meshName=scratch.mesh)["mesh"]["spec"], {}, "spec of a mesh created without one")
        backend = {"virtualService": {"virtualServiceName": "never.created.local"}}
        check = {
            "protocol": "tcp",
            "healthyThreshold": 2,
            "unhealthyThreshold": 2,
            "intervalMillis": 5000,
            "timeoutMillis": 2000,
        }
        listener = {"portMapping": {"port": 8080, "protocol": "http"}, "healthCheck": check}
        node = {"backends": [backend], "listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "o.local"}}}
        created = scratch.create("virtualNode", "orders", node)
        expected = copy.deepcopy(node)
        expected["listeners"][0]["healthCheck"]["port"] = 8080
        equal(created["spec"], expected, "the one default that is filled in")
        scratch.create("virtualNode", "bare", {})
        scratch.create("virtualService", "bare.local", {"provider": {"virtualNode": {"virtualNodeName": "bare"}}})
        scratch.create("virtualRouter")
        scratch.create("route", "zero", route(0))
        retry = {"maxRetries": 0, "perRetryTimeout": {"unit": "ms", "value": 250000}, "httpRetryEvents": ["server-error"]}
        odd = route(99)
        odd["httpRoute"]["retryPolicy"] = retry
        odd["httpRoute"]["match"]["headers"] = [{"name": "X-Testing1", "invert": False}]
        equal(scratch.create("route", "odd", odd)["spec"], odd, "a route with what looks odd")
        tcp = {"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "orders", "weight": 0}]}}}
        equal(scratch.create("route", "tcp", tcp)["spec"], tcp, "a tcp route in an http router")


CHECKS = [
    every_kind_lives_and_dies,
    every_kind_is_tagged,
    tags_come_with_creation,
    every_list_paginates,
    tokens_make_repetition_harmless,
    errors_are_typed,
    what_app_mesh_accepted_is_accepted,
]


# The corpus: specs that people wrote for App Mesh.


def corpus_cases(folder):
    """Kind, file, and what is wrong with it (`None` when nothing is) of each JSON spec in the index."""
    for line in (folder / "index.tsv").read_text().splitlines()[1:]:
        form, kind, path, _, notes = line.split("\t")
        if form == "json" and (folder / path).exists():
            notes = dict(note.split("=", 1) for note in notes.split(";"))
            yield kind, folder / path, None if notes["model"] == "ok" else notes["model"]


def spec_in(kind, document):
    """The spec in a command's input, in a describe output, or the document itself."""
    if "spec" in document:
        return document["spec"]
    return document[kind]["spec"] if kind in document else document


def rules(spec):
    return [value for member, value in spec.items() if member.endswith("Route")]


def listening(ports):
    return {"listeners": [{"portMapping": {"port": port, "protocol": "http"}} for port in ports]}


def prepare(scratch, kind, spec):
    """Creates what a spec needs to be there. Ports that it names become listeners of what they are on."""
    ports = sorted({rule["match"]["port"] for rule in rules(spec) if "port" in rule.get("match", {})})
    if kind == "route":
        scratch.create("virtualRouter", spec=listening(ports or [8080]))
        targets = {}
        for rule in rules(spec):
            for target in rule["action"]["weightedTargets"]:
                targets.setdefault(target["virtualNode"], set()).update({target.get("port")} - {None})
        for name, on in targets.items():
            discovery = {"serviceDiscovery": {"dns": {"hostname": "target.local"}}}
            scratch.create("virtualNode", name, {**listening(sorted(on)), **discovery} if on else {})
    if kind == "gatewayRoute":
        scratch.create("virtualGateway", spec=listening(ports or [8088]))
        for rule in rules(spec):
            target = rule["action"]["target"]
            scratch.create("virtualRouter", spec=listening([target.get("port", 8080)]))
            scratch.create("virtualService", target["virtualService"]["virtualServiceName"])
    if kind == "virtualService":
        provider = spec.get("provider", {})
        if "virtualNode" in provider:
            scratch.create("virtualNode", provider["virtualNode"]["virtualNodeName"], {})
        if "virtualRouter" in provider:
            scratch.create("virtualRouter", provider["virtualRouter"]["virtualRouterName"])


def echoed(spec):
    """The spec as it comes back: a health check has the port of its listener."""
    spec = copy.deepcopy(spec)
    for listener in spec.get("listeners", []):
        if "healthCheck" in listener:
            listener["healthCheck"].setdefault("port", listener["portMapping"]["port"])
    return spec


def is_echoed(appmesh, kind, spec):
    with Scratch(appmesh) as scratch:
        prepare(scratch, kind, spec)
        created = scratch.create(kind, "conformance", spec)
        equal(created["spec"], echoed(spec), "created")
        named = BY_KIND[kind].named(scratch.mesh, "conformance")
        described = BY_KIND[kind].call(appmesh, "describe", **named)
        equal(described["spec"], echoed(spec), "described")
        updated = BY_KIND[kind].call(appmesh, "update", **named, spec=spec)
        equal(updated["spec"], echoed(spec), "updated")


def is_refused(appmesh, kind, spec, wrong):
    """boto3 would drop the wrong member before it sends anything, so this is sent as it stands."""
    member = wrong.split(":")[0].rsplit("/", 1)[-1]
    with Scratch(appmesh) as scratch:
        plural = BY_KIND[kind].plural
        body = json.dumps({BY_KIND[kind].name_member: "conformance", "spec": spec}).encode()
        uri = f"{appmesh.meta.endpoint_url}{BASE}/meshes/{scratch.mesh}/{plural}"
        request = urllib.request.Request(uri, data=body, method="PUT", headers={"content-type": "application/json"})
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            message = json.loads(error.read())["message"]
            equal(error.code, 400, "status")
            equal(error.headers["x-amzn-errortype"], "BadRequestException", "error type")
            assert member in message, f"{message!r} does not name {member!r}"
            return
        raise AssertionError(f"accepted, although {wrong}")


def corpus_checks(folder):
    for kind, path, wrong in corpus_cases(folder):
        spec = spec_in(kind, json.loads(path.read_text()))
        if wrong is None:
            yield path.name, lambda appmesh, kind=kind, spec=spec: is_echoed(appmesh, kind, spec)
        else:
            yield path.name, lambda appmesh, kind=kind, spec=spec, wrong=wrong: is_refused(appmesh, kind, spec, wrong)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--corpus", type=pathlib.Path, default=REPOSITORY.parent / "shared" / "corpus")
    corpus = arguments.parse_args().corpus
    if not os.environ.get("AWS_ENDPOINT_URL_APP_MESH"):
        sys.exit("AWS_ENDPOINT_URL_APP_MESH is not set: start the control plane and set it to the address it prints")
    # Any will do: the server does not check them, and boto3 does not go without.
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "conformance")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "conformance")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    appmesh = boto3.client("appmesh")

    checks = [(check.__name__, check) for check in CHECKS]
    skipped = 0
    if (corpus / "index.tsv").exists():
        checks += corpus_checks(corpus)
    else:
        skipped = 1
        print(f"skip  the corpus: {corpus} is not there")
    failed = 0
    for name, check in checks:
        try:
            check(appmesh)
            print(f"ok    {name}")
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}")
    print(f"{len(checks) - failed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
