#!/usr/bin/env bash
# Make .venv beside the project and install the package into it.
#   scripts/install.sh [EXTRA[,EXTRA]] [--window]
# --window also makes sure that the libraries a Qt window needs are there (Debian, Ubuntu).
# PYTHON names the interpreter; without it the newest of python3.11 to python3.13 is taken, else what there is.
set -euo pipefail
cd "$(dirname "$0")/.."

extras="${1:-}"
window="${2:-}"
window_packages=(
    xvfb xauth libegl1 libgl1 libgl1-mesa-dri libglx-mesa0 libopengl0 libxkbcommon-x11-0
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0
    libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libdbus-1-3
)

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3 python}; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed, found none; install it or set PYTHON" >&2
    return 1
}

make_environment() {
    if [ -x .venv/bin/python ] && new_enough .venv/bin/python; then
        return
    fi
    local python
    python="$(find_python)"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear .venv
    elif command -v uv >/dev/null; then
        uv venv --quiet --clear --seed --python "$python" .venv
    else
        echo "$python cannot make environments; install python3-venv (Debian) or uv" >&2
        return 1
    fi
}

install_window_packages() {
    command -v dpkg-query >/dev/null || return 0
    local missing=() package
    for package in "${window_packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] && return 0
    local as_root=()
    # A runner of continuous integration may become root; a person is asked, not passed over.
    [ "${CI:-}" = true ] && [ "$(id -u)" -ne 0 ] && sudo -n true 2>/dev/null && as_root=(sudo -n)
    if [ "$(id -u)" -eq 0 ] || [ "${#as_root[@]}" -gt 0 ]; then
        "${as_root[@]}" apt-get update -qq
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends "${missing[@]}"
    else
        echo "A window needs: sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    fi
}

[ "$window" = "--window" ] && install_window_packages
make_environment
.venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.4'
SAM2_BUILD_CUDA=0 .venv/bin/python -m uv pip install --quiet --python .venv/bin/python \
    --editable ".${extras:+[$extras]}"
