#!/bin/sh
# Install nvdac into a virtual environment: with uv where it is present, else with venv and pip.
# usage: install.sh PYTHON VENV EXTRAS      (EXTRAS such as "[test]", or empty)
set -eu
python=$1 venv=$2 extras=$3

if ! command -v "$python" >/dev/null 2>&1; then
    echo "nvdac: $python not found; install Python 3.11 to 3.14, or name one: make PYTHON=python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'; then
    echo "nvdac: needs Python 3.11 to 3.14, $python is $("$python" -V 2>&1); name another: make PYTHON=python3.12" >&2
    exit 1
fi

echo "nvdac: installing into $venv (first time: about a minute) ..."
if command -v uv >/dev/null 2>&1; then
    [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
    # the how-tos add extras with $venv/bin/pip, which uv leaves out
    [ -x "$venv/bin/pip" ] || uv pip install --quiet --python "$venv/bin/python" pip
    uv pip install --quiet --python "$venv/bin/python" --constraint constraints.txt --editable ".$extras"
else
    if ! [ -x "$venv/bin/pip" ]; then
        if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
            echo "nvdac: $python has no venv module; install it (Debian: apt install python3-venv) and try again" >&2
            exit 1
        fi
        "$python" -m venv "$venv"
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".$extras"
fi
