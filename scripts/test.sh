#!/usr/bin/env bash
# Install what is needed and pass the tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh test --window
export PATH="$PWD/.venv/bin:$PATH"
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
# A process a core, each with a screen of its own; threads of torch would only get in their way.
export OMP_NUM_THREADS=1
exec pytest -n auto --dist loadfile "$@"
