#!/usr/bin/env bash
# Install what is needed and pass the tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh test --window
export PATH="$PWD/.venv/bin:$PATH"
# Compiled modules are kept, also where the surroundings say otherwise (containers do): else each of
# some forty processes compiles torch and napari anew, 10 s of its 20.
export PYTHONDONTWRITEBYTECODE=
# On one core, beside all the other checks.
mypy &
types=$!
ruff check
ruff format --check
lint-imports
npe2 validate src/napari_uninuc/napari.yaml
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
zizmor --offline --quiet --no-progress .github
bash scripts/test_spatialdata.sh --quiet
wait "$types"
# Files of the tests lie in memory where there is room: sessions wait for the disk at every change.
if [ "$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 ] 2>/dev/null; then
    TMPDIR="$(mktemp -d /dev/shm/uninuc-tests.XXXXXX)"
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
fi
# A process a core, each with a screen of its own; threads of torch would only get in their way.
export OMP_NUM_THREADS=1
# In the order of tests/conftest.py: else files of few tests, the longest, would come last.
pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
