# What the scripts in this directory share. Each of them starts one real program as a proxy:
#
#     NAME --version        makes it ready, prints "program version"; status 69 if it is not installed
#     NAME LISTEN BACKEND   runs it in the foreground; both are addresses such as 127.0.0.1:8080
#
# The second line of a script says in a sentence what it runs, and README.md says how to add one.
# A script first names what it needs, then how the program tells its version. With --version it ends there.
# Otherwise it goes on in the directory $LAB_SCRATCH, with $listen and $backend, and these taken apart.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
arguments=$*
listen=${1-} listen_host=${listen%:*} listen_port=${listen##*:}
backend=${2-} backend_host=${backend%:*} backend_port=${backend##*:}

# On Debian the path of an ordinary user lacks the directories where servers are.
PATH=$PATH:/usr/sbin:/sbin

# needs FILE PACKAGE: ends unless there is such a program in the path, or such a file.
needs() {
    command -v "$1" >/dev/null || [ -e "$1" ] || {
        echo "${0##*/}: $1 is missing; the package $2 brings it" >&2
        exit 69 # EX_UNAVAILABLE in sysexits.h
    }
}

# The directory for what is compiled or installed, in the root of the repository unless told otherwise.
cache=${LAB_CACHE:-target/proxies}
cache=$(cd "$here/../../.." && mkdir -p "$cache" && cd "$cache" && pwd)

# built FILE SOURCE COMMAND…: runs the command unless FILE, in $cache, is newer than all of SOURCE. When
# several scripts come at a time, one of them builds and the others wait.
built() {
    made=$cache/$1 source=$2
    shift 2
    mkdir -p "$(dirname "$made")"
    (
        flock 9
        [ -e "$made" ] && [ -z "$(find "$source" -newer "$made")" ] || { "$@" >&2 && touch "$made"; }
    ) 9>"$made.lock"
}

# version PROGRAM COMMAND…: with --version, prints PROGRAM and the first version number that the command
# prints. Otherwise goes to the directory for the program's files.
version() {
    if [ "$arguments" = --version ]; then
        program=$1
        shift
        number=$("$@" </dev/null 2>&1 | grep -Eo '[0-9]+(\.[0-9]+)+' | head -n 1)
        echo "$program ${number:-unknown}"
        exit
    fi
    case $listen/$backend in
    *:*[0-9]/*:*[0-9]) ;;
    *) echo "usage: ${0##*/} --version | LISTEN BACKEND" >&2 && exit 2 ;;
    esac
    cd "${LAB_SCRATCH:=$(mktemp -d)}"
}
