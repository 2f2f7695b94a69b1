#!/bin/sh
# Sees to what luge needs from the system. Installs Debian's packages where it may,
# otherwise names them.
#
#   tools/setup.sh build   a C++ compiler, cmake, libclang, Python, Rust
#   tools/setup.sh test    these, and for the tests of pages Node.js and Chromium;
#                          CHROMIUM may name one that lies elsewhere; for those of the
#                          server Python's venv
set -eu

case "${1:-}" in
    build | test) ;;
    *)
        echo "usage: tools/setup.sh build|test" >&2
        exit 2
        ;;
esac

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for directory in /usr/lib /usr/lib64 /usr/local/lib /usr/lib/*-linux-gnu /usr/lib/llvm*/lib \
        /opt/homebrew/opt/llvm/lib /Library/Developer/CommandLineTools/usr/lib \
        /Applications/Xcode.app/Contents/Developer/Toolchains/*/usr/lib; do
        for library in "$directory"/libclang.so* "$directory"/libclang-[0-9]*.so* \
            "$directory"/libclang.dylib; do
            [ -e "$library" ] && return 0
        done
    done
    return 1
}

# The library alone is not enough: it reads its own stddef.h.
has_clang_headers() {
    [ "$(uname)" = Darwin ] && return 0
    for header in /usr/lib/clang/*/include/stddef.h /usr/lib/llvm*/lib/clang/*/include/stddef.h \
        /usr/lib64/clang/*/include/stddef.h /usr/local/lib/clang/*/include/stddef.h; do
        [ -e "$header" ] && return 0
    done
    return 1
}

missing=
command -v c++ >/dev/null && command -v make >/dev/null || missing="$missing build-essential"
command -v cmake >/dev/null || missing="$missing cmake"
# For the tests of the built-in model's recipe.
command -v python3 >/dev/null || missing="$missing python3"
has_libclang && has_clang_headers || missing="$missing libclang-dev"
if [ "$1" = test ]; then
    # Debian's Python has no pip for new environments without it.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
    [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing="$missing chromium"
fi

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "luge needs, under your system's names:$missing" >&2
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        echo "luge needs these packages; as root: apt-get install$missing" >&2
        exit 1
    fi
    echo "installing$missing"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # one word a package
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
fi

if ! command -v cargo >/dev/null; then
    echo "luge needs Rust 1.89 or newer: see https://rustup.rs" >&2
    exit 1
fi
