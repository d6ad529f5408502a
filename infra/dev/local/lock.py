"""Writes requirements.txt and requirements-checks.txt from the .in files in the same folder, with hashes.

The versions are those of the .in files. Each requirement gets the hash of every file of its release, so that one file
serves every platform. Run it after a version was changed, in an environment with pip-tools:

    python3 -m venv .local/lock && .local/lock/bin/pip install pip-tools && .local/lock/bin/python infra/dev/local/lock.py
"""

import pathlib
import re
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
SETS = ["requirements", "requirements-checks"]
HEADER = "# Written by infra/dev/local/lock.py from {source}. Edit that file.\n"


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    unpinned = [line for line in lines if line and "==" not in line]
    if unpinned:
        sys.exit(f"not pinned: {', '.join(unpinned)}: write NAME==VERSION")
    return [normalized(line.split("==")[0]) for line in lines if line]


def compiled() -> dict[str, str]:
    """The entries of all sets, resolved together, by package."""
    sources = [str(FOLDER / f"{name}.in") for name in SETS]
    options = ["--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--allow-unsafe", "--strip-extras"]
    quiet = ["--no-emit-find-links", "--no-emit-index-url", "--no-emit-trusted-host"]
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "locked.txt"
        command = [sys.executable, "-m", "piptools", "compile", *options, *quiet, f"--output-file={output}", *sources]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        entries = re.split(r"\n(?=\S)", output.read_text().strip())
    return {normalized(entry.split("==")[0]): entry for entry in entries}


def main() -> None:
    entries = compiled()
    wanted = {name: pinned((FOLDER / f"{name}.in").read_text()) for name in SETS}
    missing = set(entries) - {package for packages in wanted.values() for package in packages}
    if missing:
        sys.exit(f"needed and not pinned: {', '.join(sorted(missing))}: add them to an .in file")
    for name, packages in wanted.items():
        body = "\n".join(entries[package] for package in packages)
        (FOLDER / f"{name}.txt").write_text(HEADER.format(source=f"{name}.in") + body + "\n")


if __name__ == "__main__":
    main()
