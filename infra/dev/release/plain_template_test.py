"""Tests of the plain template: `python -m unittest plain_template_test` in this folder, with .local/venv."""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zipfile

import boto3
import plain_template
import yaml
from botocore.exceptions import ClientError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

ROOT = pathlib.Path(__file__).resolve().parents[3]
ACCOUNT, REGION, VERSION = "123456789012", "eu-west-1", "1.2.3"
TEXT = plain_template.TEMPLATE.read_text(encoding="utf-8")
PLAIN = plain_template.plain(VERSION, TEXT)
DOCUMENT = yaml.load(PLAIN, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class Content(unittest.TestCase):
    def test_the_same_input_gives_the_same_bytes(self):
        program = [sys.executable, "-B", str(pathlib.Path(plain_template.__file__)), "--version", VERSION]
        # Another process has another order of sets.
        again = subprocess.run(program, env={**os.environ, "PYTHONHASHSEED": "1"}, check=True, capture_output=True)
        self.assertEqual(again.stdout.decode(), PLAIN)

    def test_functions_and_code(self):
        resources = DOCUMENT["Resources"]
        functions = {name: one for name, one in resources.items() if one["Type"] == "AWS::Lambda::Function"}
        folders = {folder.name for folder in (ROOT / "functions").iterdir()}
        keys = {one["Properties"]["Code"]["S3Key"]["Fn::Sub"] for one in functions.values()}
        self.assertEqual(keys, {f"${{CodePrefix}}/${{CodeVersion}}/${{Architecture}}/{name}.zip" for name in folders})
        for name, function in functions.items():
            self.assertEqual(function["Properties"]["Role"], {"Fn::GetAtt": [f"{name}Role", "Arn"]})
            # The values of parameters are filled in by CloudFormation, not when the template is written.
            variables = function["Properties"]["Environment"]["Variables"]
            self.assertEqual(variables["MESHWARDEN_LOG"], {"Ref": "LogLevel"})

    def test_managed_policies_and_other_transforms_are_refused(self):
        # SAM creates a role for a function without one.
        without_role = TEXT.replace("      Role: !GetAtt RouteFailoverRole.Arn\n", "")
        self.assertNotEqual(without_role, TEXT)
        without_role = without_role.replace("  RouteFailoverRole:\n", "  UnusedRole:\n")
        with self.assertRaisesRegex(plain_template.PlainTemplateError, "AWSLambdaSQSQueueExecutionRole"):
            plain_template.plain(VERSION, without_role)
        long = TEXT.replace("Sid: ReadAlarms\n", f"Sid: {'R' * 10_000}\n", 1)
        with self.assertRaisesRegex(plain_template.PlainTemplateError, "RouteFailoverRole have 1[0-9]{4} characters"):
            plain_template.plain(VERSION, long)

    def test_cfn_lint_accepts_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "meshwarden.yaml"
            path.write_text(PLAIN, encoding="utf-8")
            linter = pathlib.Path(sys.executable).parent / "cfn-lint"
            linted = subprocess.run([linter, path], capture_output=True, text=True)
        self.assertEqual(linted.stdout, "")
        self.assertEqual(linted.returncode, 0)


# Permissions of the resource providers for properties that the template does not set.
UNUSED = {
    "backups of other tables and imports": ["dynamodb:BatchWriteItem", "dynamodb:DescribeImport", "dynamodb:ImportTable"],
    "items": ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan"],
    "replicas": ["dynamodb:AssociateTableReplica", "dynamodb:CreateTableReplica", "dynamodb:UpdateItem"],
    "resource policies": ["dynamodb:DeleteResourcePolicy", "dynamodb:PutResourcePolicy", "logs:DeleteResourcePolicy"],
    "contributor insights": ["dynamodb:UpdateContributorInsights", "iam:CreateServiceLinkedRole"],
    "streams": ["dynamodb:DisableKinesisStreamingDestination", "dynamodb:EnableKinesisStreamingDestination"],
    "destinations of streams": ["dynamodb:UpdateKinesisStreamingDestination", "kinesis:DescribeStream"],
    "other logs": ["kinesis:PutRecords", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
    "deliveries of logs": ["firehose:TagDeliveryStream", "logs:CreateLogDelivery", "s3:REST.PUT.OBJECT"],
    "policies of logs": ["logs:DeleteDataProtectionPolicy", "logs:DeleteIndexPolicy", "logs:PutBearerTokenAuthentication"],
    "more policies of logs": ["logs:PutDataProtectionPolicy", "logs:PutIndexPolicy", "logs:PutResourcePolicy"],
    "protection of logs": ["logs:PutLogGroupDeletionProtection", "sns:PutDataProtectionPolicy"],
    "aliases and actions that IAM does not have": ["kms:ListAliases", "kms:ReEncrypt", "s3:GetObjectMetadata"],
    "managed policies": ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
    "file systems": ["elasticfilesystem:DescribeMountTargets", "s3files:ListMountTargets"],
    "signed code": ["lambda:DeleteFunctionCodeSigningConfig", "lambda:GetCodeSigningConfig"],
    "more signed code": ["lambda:PutFunctionCodeSigningConfig"],
    "other settings of functions": ["lambda:AssociateRuntimeAlias", "lambda:PassCapacityProvider"],
    "recursion and runtime": ["lambda:PutFunctionRecursionConfig", "lambda:PutRuntimeManagementConfig"],
    "scaling": ["lambda:PutFunctionScalingConfig"],
}


class DeployPolicy(unittest.TestCase):
    """The sample of a policy for the role that deploys the template."""

    def test_it_has_what_the_resource_providers_need(self):
        policy = json.loads((ROOT / "infra/samples/deploy-policy.json").read_text(encoding="utf-8"))
        granted = set()
        for statement in policy["Statement"]:
            self.assertEqual(statement["Effect"], "Allow")
            actions = statement["Action"]
            granted.update([actions] if isinstance(actions, str) else actions)
        self.assertEqual({action for action in granted if "*" in action}, set())
        unused = {action for actions in UNUSED.values() for action in actions}
        needed = set()
        for kind in {resource["Type"] for resource in DOCUMENT["Resources"].values()}:
            handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema["handlers"]
            for handler in ("create", "read", "update", "delete"):
                needed.update(handlers.get(handler, {}).get("permissions", []))
        self.assertEqual(needed - unused - granted, set())
        # An exemption that no provider needs hides the next change.
        self.assertEqual(unused - needed, set())
        self.assertEqual(unused & granted, set())


class Deployment(unittest.TestCase):
    """Deploys the template into the local CloudFormation. The packages are empty: no function runs."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        settings = {
            "PATH": os.environ["PATH"],
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "TMPDIR": folder.name,
            "STATE_DIR": f"{folder.name}/state",
            "S3_DATA_DIR": f"{folder.name}/s3",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }
        server = subprocess.Popen(
            [sys.executable, ROOT / "infra/dev/local/ministack_server.py"],
            cwd=folder.name,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        cls.addClassCleanup(server.stdout.close)
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.kill)
        endpoint = "http://" + server.stdout.readline().split()[1]
        # A full pipe would block the server.
        reader = threading.Thread(target=server.stdout.read, daemon=True)
        reader.start()
        options = {
            "endpoint_url": endpoint,
            "region_name": REGION,
            "aws_access_key_id": ACCOUNT,
            "aws_secret_access_key": "x",
        }
        cls.clients = {name: boto3.client(name, **options) for name in ("s3", "cloudformation", "iam", "lambda")}
        cls.endpoint = endpoint
        buckets = cls.clients["s3"]
        # The client tries again until the server answers.
        cls.until(lambda: cls.answers(lambda: buckets.list_buckets()))
        buckets.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("bootstrap", "")
        cls.package = package.getvalue()
        for function in (ROOT / "functions").iterdir():
            key = f"meshwarden/{VERSION}/arm64/{function.name}.zip"
            buckets.put_object(Bucket="code", Key=key, Body=cls.package)
        # The same document as JSON, which the local CloudFormation parses in a fraction of the time.
        buckets.put_object(Bucket="code", Key="meshwarden.json", Body=json.dumps(DOCUMENT).encode())

    @staticmethod
    def until(condition):
        give_up = time.monotonic() + 90
        while not (value := condition()):
            if time.monotonic() > give_up:
                raise TimeoutError("the local services do not respond")
            threading.Event().wait(0.05)
        return value

    @staticmethod
    def answers(call):
        try:
            call()
        except Exception:  # The server is starting.
            return False
        return True

    def deploy(self, stack, **parameters):
        stacks = self.clients["cloudformation"]
        values = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
        stacks.create_stack(
            StackName=stack,
            TemplateURL=f"{self.endpoint}/code/meshwarden.json",
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": "CodeBucket", "ParameterValue": "code"}, *values],
        )

        def ended():
            status = stacks.describe_stacks(StackName=stack)["Stacks"][0]
            return None if status["StackStatus"].endswith("IN_PROGRESS") else status

        return self.until(ended)

    def statement(self, stack, role, sid):
        roles = self.clients["iam"].list_roles()["Roles"]
        name = next(one["RoleName"] for one in roles if one["RoleName"].startswith(f"{stack}-{role}Role-"))
        policy = self.clients["iam"].get_role_policy(RoleName=name, PolicyName="calls")["PolicyDocument"]
        return next(one for one in policy["Statement"] if one["Sid"] == sid)

    def test_every_optional_part_is_deployed(self):
        layers = self.clients["lambda"]
        layer = layers.publish_layer_version(LayerName="ca", Content={"ZipFile": self.package})
        stack = self.deploy(
            "options",
            MeshNames="shop,bank",
            ExistingTable="restored",
            OrganizationId="o-abcdefghij",
            ControlPlaneEndpoint="https://control-plane.internal:8443",
            CaBundleLayer=layer["LayerVersionArn"],
            SubnetIds="subnet-1",
            SecurityGroupIds="sg-1",
            KeyArn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k",
            PermissionsBoundary=f"arn:aws:iam::{ACCOUNT}:policy/boundary",
            Tracing="Active",
            ReservedConcurrency="3",
        )
        self.assertEqual(stack["StackStatus"], "CREATE_COMPLETE")
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        self.assertEqual(outputs["StateTable"], "restored")
        state = self.statement("options", "RouteFailover", "State")
        self.assertEqual(state["Resource"], f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/restored")
        # Each mesh of the list, and no other.
        routes = self.statement("options", "RouteFailover", "WriteRoutes")
        own = f"arn:aws:appmesh:{REGION}:{ACCOUNT}:mesh/shop/virtualRouter/*/route/*"
        self.assertEqual(routes["Resource"], [own, "arn:*:appmesh:*:*:mesh/bank/virtualRouter/*/route/*"])
        tags = self.statement("options", "TagCompliance", "WriteTags")["Resource"]
        self.assertEqual([arn.split(":mesh/")[1] for arn in tags], ["shop", "bank", "shop/*", "bank/*"])

    def test_combinations_that_cannot_work_are_refused(self):
        for parameters, reason in [
            ({"SubnetIds": "subnet-1"}, "SubnetIds needs SecurityGroupIds"),
            ({"SecurityGroupIds": "sg-1"}, "SecurityGroupIds needs SubnetIds"),
            ({"Compliance": "no", "ConfigRules": "yes"}, "ConfigRules needs Compliance"),
            ({"Compliance": "no", "SecurityHub": "on"}, "SecurityHub needs Compliance"),
            ({"Compliance": "no", "SweepByQueue": "on"}, "SweepByQueue needs Compliance"),
            ({"Rotation": "no", "BundleKeys": "arn:aws:kms:r:1:key/k"}, "BundleKeys needs Rotation"),
            ({"ControlPlaneAudience": "mesh"}, "ControlPlaneAudience needs ControlPlaneEndpoint"),
            ({"ReservedConcurrency": "2"}, "ReservedConcurrency"),
            ({"MeshNames": "shop/virtualNode"}, "MeshNames"),
        ]:
            with self.subTest(parameters), self.assertRaisesRegex(ClientError, reason):
                self.deploy("refused", **parameters)


if __name__ == "__main__":
    unittest.main()
