# Make the environment $VENV and install the requirements into it: at each make, once.
#
# What is in the way is said in one line before anything is installed. An environment
# that this script made in .venv and that is of no use any more is made anew; another
# one is never removed. The file made-by-make says whose it is; the file installed says
# where it was made, and for which requirements: without it the work is not finished.
set -eu
unset CDPATH

OLDEST=11 NEWEST=14 # of Python 3: what the pins install on; the README says so too
python=${PYTHON:-python3}
made=$VENV/.made-by-make
installed=$VENV/.installed

refuse() {
  echo "make: $1" >&2
  exit 2
}

# The version of this Python; nothing if it does not start, or lacks this module.
version() {
  "$1" -Es -c "import sys, $2; print('%d.%d.%d' % sys.version_info[:3])" 2>/dev/null ||
    true
}

supported() {
  minor=${1#3.}
  minor=${minor%%.*}
  case $1 in 3.*) [ "$minor" -ge $OLDEST ] && [ "$minor" -le $NEWEST ] ;; *) false ;; esac
}

place() {
  (cd "$VENV" && pwd -P)
}

wanted() {
  place && pwd -P && cat requirements.txt constraints.txt pyproject.toml
}

is_installed() {
  [ -f "$installed" ] && wanted | cmp -s - "$installed"
}

# Why there is no environment of use; nothing if there is one.
fault() {
  found=$(version "$VENV/bin/python" sys)
  if [ ! -e "$VENV" ] && [ ! -L "$VENV" ]; then
    echo "is missing"
  elif [ -e "$made" ] && [ ! -e "$installed" ]; then
    echo "is not finished"
  elif [ -s "$installed" ] && [ "$(head -n 1 "$installed")" != "$(place)" ]; then
    echo "was moved from $(head -n 1 "$installed")"
  elif [ -z "$found" ]; then
    echo "has no Python that starts"
  elif ! supported "$found"; then
    echo "has Python $found, expected 3.$OLDEST to 3.$NEWEST"
  elif [ -z "$(version "$VENV/bin/python" pip)" ]; then
    echo "has no pip"
  fi
}

check_python() {
  hint="install one and add PYTHON=python3.12, say"
  for minor in $(seq $OLDEST $NEWEST); do
    [ -z "$(version "python3.$minor" ensurepip)" ] || hint="add PYTHON=python3.$minor"
  done
  range="expected Python 3.$OLDEST to 3.$NEWEST"
  command -v "$python" >/dev/null || refuse "$range, got no $python: $hint"
  got=$(version "$python" sys)
  [ -n "$got" ] || refuse "$range, got a $python that does not start: $hint"
  supported "$got" || refuse "$range, got $got ($python): $hint"
  kind="$(uname -m) $("$python" -Es -c "import sys, sysconfig as s
print(sys.platform, s.get_config_var('SOABI'), 64 if sys.maxsize > 2**32 else 32)")"
  case $kind in
  *musl* | *pypy* | *32) ;;
  x86_64\ linux* | aarch64\ linux* | arm64\ darwin*) kind= ;;
  esac
  [ -z "$kind" ] || refuse "expected CPython of 64 bits on Linux (x86_64 or aarch64, \
with glibc) or a Mac with Apple silicon, for PyTorch has packages only there; got $kind"
  [ -n "$(version "$python" ensurepip,venv)" ] || refuse "expected a $python that makes \
environments, got one without venv: apt install python${got%.*}-venv (Debian, Ubuntu)"
}

# An environment that is there stays: PYTHON cannot change its Python.
check_asked() {
  [ -n "${PYTHON:-}" ] || return 0
  asked=$(version "$PYTHON" sys)
  found=$(version "$VENV/bin/python" sys)
  [ "${asked%.*}" = "${found%.*}" ] || refuse "PYTHON=$PYTHON is Python ${asked:-none}, \
but $VENV has $found: remove $VENV, or add VENV=another-folder"
}

make_environment() {
  check_python
  if [ "$1" != "is missing" ]; then
    [ "$VENV" = .venv ] && [ -e "$made" ] && [ ! -L "$VENV" ] ||
      refuse "$VENV $1: remove it and run make again, or add VENV=another-folder"
    echo "make: $VENV $1: it is made anew"
    rm -rf "$VENV"
  fi
  mkdir -p "$VENV" 2>/dev/null || refuse "expected a folder VENV to make, got $VENV"
  : >"$made"
  "$python" -m venv "$VENV"
}

install() {
  # Killed, it leaves no file installed; stopped by an error, it can be tried again.
  [ ! -e "$installed" ] || mv "$installed" "$installed-before"
  if "$VENV/bin/python" -m pip install --disable-pip-version-check -r requirements.txt
  then
    wanted >"$installed"
    rm -f "$installed-before"
  else
    [ ! -e "$installed-before" ] || mv "$installed-before" "$installed"
    refuse "the requirements are not installed: pip says why above; then run make again"
  fi
}

[ -n "$VENV" ] || refuse "expected a folder VENV, got none"
for folder in . _build; do
  [ ! -e $folder ] || [ -w $folder ] ||
    refuse "expected a folder that can be written, got $(pwd)/$folder"
done
exec 9<requirements.txt
why=$(fault)
if [ -n "$why" ] || ! is_installed; then
  # One make at a time; what the other one did may be what was wanted.
  for any in "$VENV/bin/python" "$python"; do
    if "$any" -m tools.alone 2>/dev/null; then break; fi
  done
  why=$(fault)
fi
[ -z "$why" ] || make_environment "$why"
check_asked
is_installed || install
