#!/usr/bin/env bash
# Pass the tests of SpatialData stores, in an environment of their own: spatialdata wants older
# packages than napari does. Needs .venv (scripts/install.sh). Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=.venv-spatialdata
.venv/bin/python -m uv venv --quiet --allow-existing --python .venv/bin/python "$environment"
# Writing and reading need no torch and no napari.
.venv/bin/python -m uv pip install --quiet --python "$environment/bin/python" \
    'spatialdata>=0.4' 'hypothesis>=6.100' 'pytest>=8.2' \
    filelock 'imagecodecs>=2024.6.1' platformdirs psygnal pydantic 'tifffile>=2025.9.20'
exec env PYTHONPATH=src OMP_NUM_THREADS=1 "$environment/bin/python" -m pytest -c /dev/null --rootdir . \
    --import-mode=importlib -p no:cacheprovider tests/io/test_spatialdata_store.py "$@"
