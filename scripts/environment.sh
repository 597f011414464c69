# Sourced by the scripts here: makes the virtual environments under .cache/.
#
# PYTHON selects the interpreter (default: python3). An environment is used again as long as the
# interpreter, the packages asked for and, if the project is one of them, what pyproject.toml says
# about the project stay the same. Settings of tools (ruff, mypy, pytest) do not count.

# A clone that was started from a git hook, or with settings for another Python, stays itself.
unset PYTHONHOME PIP_REQUIRE_VIRTUALENV
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Modules are compiled when they are first imported (`--no-compile` below): most never are.
unset PYTHONDONTWRITEBYTECODE

PYTHON="${PYTHON:-python3}"

# The environment of $1 (a name) with everything in "$@" from $2 on installed: sets ENVIRONMENT.
make_environment() {
    local name="$1"
    shift
    ENVIRONMENT="$PWD/.cache/env-$name"
    mkdir -p .cache

    local wanted
    wanted="$("$PYTHON" - "$@" <<'CODE'
import hashlib, pathlib, sys, tomllib

if sys.version_info < (3, 11):
    sys.exit(
        f"expman needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}; "
        "set PYTHON to another interpreter"
    )
parts = [sys.version, sys.base_prefix]
if any(argument.startswith(".") for argument in sys.argv[1:]):  # the project itself
    settings = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
    installed = [settings["build-system"], settings["project"], settings["tool"]["hatch"]]
    parts.insert(0, repr(installed))
print(hashlib.sha256("\0".join(parts + sys.argv[1:]).encode()).hexdigest())
CODE
)"

    (
        # Two scripts started at once wait for each other.
        if command -v flock >/dev/null; then flock 9; fi
        if [ "$(cat "$ENVIRONMENT/made-for" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
        echo "making .cache/env-$name (${*})" >&2
        rm -rf "$ENVIRONMENT"
        "$PYTHON" -m venv "$ENVIRONMENT"
        "$ENVIRONMENT/bin/python" -m pip install --quiet --no-compile "$@"
        echo "$wanted" >"$ENVIRONMENT/made-for"
    ) 9>".cache/env-$name.lock"
}
