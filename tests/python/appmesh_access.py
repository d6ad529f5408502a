"""Does the control plane with `--api-auth keys` take boto3's signatures, and nothing else?

    appmesh_access.py ENDPOINT KEY_ID SECRET

Ends with exit code 1 if anything is not as it should be.
"""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ARN = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop"


def client(endpoint, key, secret, token=None):
    return boto3.client(
        "appmesh",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )


def refused(call, says):
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ForbiddenException", error
        assert says in error.response["Error"]["Message"], error
    else:
        raise AssertionError(f"let in, instead of {says}")


def main(endpoint, key, secret):
    appmesh = client(endpoint, key, secret)
    appmesh.create_mesh(meshName="shop")
    appmesh.create_virtual_node(meshName="shop", virtualNodeName="n", spec={})
    appmesh.describe_virtual_node(meshName="shop", virtualNodeName="n", meshOwner="123456789012")
    appmesh.tag_resource(resourceArn=ARN, tags=[{"key": "a b", "value": "+/="}])
    assert appmesh.list_tags_for_resource(resourceArn=ARN)["tags"] == [{"key": "a b", "value": "+/="}]
    pages = appmesh.get_paginator("list_meshes").paginate(PaginationConfig={"PageSize": 1})
    assert [mesh["meshName"] for page in pages for mesh in page["meshes"]] == ["shop"]
    # A session token is signed with the rest; it is not needed.
    client(endpoint, key, secret, "token").list_meshes()

    refused(client(endpoint, key, secret + "x").list_meshes, "does not match")
    refused(client(endpoint, "AKIDOTHER", secret).list_meshes, "does not match")

    tampering = client(endpoint, key, secret)

    def tamper(request, **_):
        request.body = request.body.replace(b"shop2", b"shop3")

    tampering.meta.events.register("before-send.app-mesh", tamper)
    refused(lambda: tampering.create_mesh(meshName="shop2"), "does not match")
    assert len(appmesh.list_meshes()["meshes"]) == 1


if __name__ == "__main__":
    main(*sys.argv[1:])
