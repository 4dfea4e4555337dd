#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment and tells the first lesson from there.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/build"
"$work/build/bin/pip" install --quiet --disable-pip-version-check build
"$work/build/bin/python" -m build --wheel --outdir "$work/dist" "$checkout" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "$work"/dist/*.whl

cd "$work"
export LBTUTOR_STATE="$work/state"
"$work/venv/bin/lbtutor" --version
"$work/venv/bin/lbtutor" list
"$work/venv/bin/lbtutor" lesson round-robin --plain --sim </dev/null >"$work/lesson.txt"
"$work/venv/bin/lbtutor" lab run round-robin --on sim
"$work/venv/bin/lbtutor" lab run round-robin --on live --speed 10
lines=$(wc -l <"$work/lesson.txt")
echo "the lesson from the wheel: $lines lines"
[ "$lines" -gt 100 ]
