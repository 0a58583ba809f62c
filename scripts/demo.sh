#!/usr/bin/env bash
# Install what is needed and run the main job on a real tile with the bundled model.
# Arguments go to "uninuc demo"; with --gui the result opens in napari.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ " $* " == *" --gui "* ]]; then
    bash scripts/install.sh all --window
else
    bash scripts/install.sh
fi
exec .venv/bin/uninuc demo --output demo-output "$@"
