"""Writes infra/template.yaml as a plain CloudFormation template, without the transform of SAM.

    infra/template.yaml --> code from a bucket --> SAM translator --> checks --> plain template (YAML)

usage: plain_template.py [--version VERSION] [--output FILE]

Service-managed StackSets and many pipelines refuse templates with a transform. The plain template takes the code of
the functions from `CodeBucket`, under `CodePrefix/CodeVersion/Architecture/FUNCTION.zip`. The same input gives the
same bytes. The program fails if the result has a SAM resource, a managed policy, or a role beyond the quotas of IAM.
"""

import argparse
import json
import os
import pathlib
import sys

# The translator reads the partition from boto3. No request is sent.
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

import yaml  # noqa: E402
from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "template.yaml"
FUNCTION = "AWS::Serverless::Function"
# Quotas of IAM and CloudFormation.
ROLE_CHARACTERS = 10_240
TEMPLATE_BYTES = 1_000_000
RESOURCES = 500
PARAMETERS = {
    "CodeBucket": {
        "Type": "String",
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        "Description": "The S3 bucket, in the region of the stack, with the packages of the functions.",
    },
    "CodePrefix": {
        "Type": "String",
        "Default": "meshwarden",
        "AllowedPattern": "^[A-Za-z0-9][A-Za-z0-9._/-]*[A-Za-z0-9]$",
        "Description": "The prefix of the packages' keys, without a slash at its end.",
    },
    "Architecture": {
        "Type": "String",
        "Default": "arm64",
        "AllowedValues": ["arm64", "x86_64"],
        "Description": "The architecture of the packages, which must be in the bucket.",
    },
}


class PlainTemplateError(Exception):
    """The template cannot be written as a plain one."""


def with_code_in_bucket(template, version):
    """Replaces the folders of the functions by keys in a bucket."""
    template["Parameters"] = {
        **PARAMETERS,
        "CodeVersion": {
            "Type": "String",
            "Default": version,
            "AllowedPattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
            "Description": "The version of the packages.",
        },
        **template["Parameters"],
    }
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    names = ["CodeBucket", "CodePrefix", "CodeVersion", "Architecture"]
    groups.insert(0, {"Label": {"default": "Code"}, "Parameters": names})
    functions = [one for one in template["Resources"].values() if one["Type"] == FUNCTION]
    for function in functions:
        name = function.pop("Metadata")["BuildProperties"]["Binary"]
        key = {"Fn::Sub": f"${{CodePrefix}}/${{CodeVersion}}/${{Architecture}}/{name}.zip"}
        function["Properties"]["CodeUri"] = {"Bucket": {"Ref": "CodeBucket"}, "Key": key}
        function["Properties"]["Architectures"] = [{"Ref": "Architecture"}]
    if not functions:
        raise PlainTemplateError(f"the template has no {FUNCTION}")
    return template


def check(template):
    """Fails if the template depends on SAM, grants more than its own statements, or exceeds a quota."""
    resources = template["Resources"]
    wrong = []
    if "Transform" in template:
        wrong.append("it has a transform")
    if len(resources) > RESOURCES:
        wrong.append(f"it has {len(resources)} resources; a stack may have {RESOURCES}")
    for name, resource in resources.items():
        if resource["Type"].startswith("AWS::Serverless::"):
            wrong.append(f"{name} is a resource of SAM")
        if resource["Type"] != "AWS::IAM::Role":
            continue
        properties = resource["Properties"]
        if properties.get("ManagedPolicyArns"):
            wrong.append(f"{name} has the managed policies {properties['ManagedPolicyArns']}")
        policies = [policy["PolicyDocument"] for policy in properties["Policies"]]
        characters = len(json.dumps(policies, separators=(",", ":")))
        if characters > ROLE_CHARACTERS:
            wrong.append(f"the policies of {name} have {characters} characters; a role may have {ROLE_CHARACTERS}")
    if wrong:
        raise PlainTemplateError("; ".join(wrong))


class Dumper(yaml.SafeDumper):
    """Writes every value in full: CloudFormation reads no references of YAML."""

    def ignore_aliases(self, data):
        return True


def plain(version, text):
    """Returns the plain template of a SAM template."""
    template = with_code_in_bucket(yaml_parse(text), version)
    # The managed policies that SAM may attach by name. None of them is wanted.
    template = Translator({}, Parser()).translate(template, {})
    # Written back as plain data: the translator returns subclasses.
    template = json.loads(json.dumps(template))
    check(template)
    template.pop("Transform", None)
    body = yaml.dump(template, Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=True)
    head = "# Written by infra/dev/release/plain_template.py from infra/template.yaml.\n"
    if len(head + body) > TEMPLATE_BYTES:
        raise PlainTemplateError(f"it has {len(head + body)} bytes; a template may have {TEMPLATE_BYTES}")
    return head + body


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--template", type=pathlib.Path, default=TEMPLATE)
    parser.add_argument("--version", default="0.0.0", help="the default of CodeVersion")
    parser.add_argument("--output", type=pathlib.Path, help="the file to write; the standard output without it")
    arguments = parser.parse_args()
    try:
        text = plain(arguments.version, arguments.template.read_text(encoding="utf-8"))
    except PlainTemplateError as error:
        sys.exit(f"error: failed to write the plain template: {error}")
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
