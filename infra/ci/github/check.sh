#!/usr/bin/env bash
# The check step of the GitHub Action: annotations on the standard output, a SARIF file, a page, and the table as job summary.
# The exit code is that of `meshwarden check`: 1 for findings, 2 for files that could not be read.
set -euo pipefail

program=${MESHWARDEN_PROGRAM:-}
if [[ -z $program ]]; then
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
  program=${CARGO_TARGET_DIR:-$root/target}/release/meshwarden
fi
if ! command -v "$program" > /dev/null; then
  echo "::error title=meshwarden::there is no program $program; build it or set the input \`program\`"
  exit 2
fi

options=(--fail-on "${MESHWARDEN_FAIL_ON:-medium}")
if [[ -n ${MESHWARDEN_POLICY_FILE:-} ]]; then
  options+=(--policy "$MESHWARDEN_POLICY_FILE")
fi
while IFS= read -r argument; do
  [[ -z $argument ]] || options+=("$argument")
done <<< "${MESHWARDEN_ARGUMENTS:-}"
paths=()
while IFS= read -r path; do
  [[ -z $path ]] || paths+=("$path")
done <<< "${MESHWARDEN_PATHS:-.}"

# What an output is written for must not hide the result: only the last run decides.
check() { "$program" check "${options[@]}" "$@" -- "${paths[@]}"; }
if [[ -n ${MESHWARDEN_SARIF:-} ]]; then
  check --format sarif --output "$MESHWARDEN_SARIF" || true
fi
if [[ -n ${MESHWARDEN_HTML:-} ]]; then
  check --format html --output "$MESHWARDEN_HTML" || true
fi
if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
  {
    echo "## Meshwarden check"
    echo
    echo "~~~~~~~~ text"
    check --format table --color never || true
    echo "~~~~~~~~"
  } >> "$GITHUB_STEP_SUMMARY"
fi
check --format github
