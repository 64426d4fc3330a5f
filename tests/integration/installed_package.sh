#!/usr/bin/env bash
# Installs the build into a scratch prefix, builds the examples outside the tree against it, with pkg-config and with
# CMake, shared and static, and has each authenticate against the installed keyd.
set -euo pipefail
build=$1 source=$2
scratch=$(mktemp -d /tmp/keyd-installed.XXXXXX)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$scratch"' EXIT
prefix=$scratch/prefix
cmake --install "$build" --prefix "$prefix" >"$scratch/install.log"
cp -r "$prefix/share/doc/keyd/examples" "$scratch/examples"
libdir=$(dirname "$(find "$prefix" -name libkeyclient.so | head -1)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir

cd "$scratch/examples/who_am_i"
cc -Wall -Wextra -Werror -o "$scratch/by-pkg-config" who_am_i.c $(pkg-config --cflags --libs keyclient)
cc -Wall -Wextra -Werror -o "$scratch/by-pkg-config-static" who_am_i.c $(pkg-config --cflags keyclient) \
  "$libdir/libkeyclient.a" $(pkg-config --static --libs-only-l keyclient | sed 's/-lkeyclient//')
cmake -S . -B "$scratch/cmake-build" -DCMAKE_PREFIX_PATH="$prefix" >"$scratch/cmake.log"
cmake --build "$scratch/cmake-build" >>"$scratch/cmake.log"
ln -s "$scratch/cmake-build/who_am_i" "$scratch/by-cmake"
printf '#include <keyclient/keyclient.hpp>\nint main() { try { keyclient::Client c("/nonexistent"); } catch (const keyclient::Error& e) { return e.status() == KEYCLIENT_UNREACHABLE ? 0 : 1; } return 2; }\n' >"$scratch/face.cpp"
c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -o "$scratch/face" "$scratch/face.cpp" $(pkg-config --cflags --libs keyclient)
"$scratch/face"

export KEYD_RUNTIME_DIR=$scratch/run
"$prefix/sbin/keyd" -F --runtime-dir "$KEYD_RUNTIME_DIR" --state-dir "$scratch/state" >"$scratch/out" 2>"$scratch/log" &
daemon=$!
for _ in $(seq 1200); do grep -q ready "$scratch/out" && break; sleep 0.05; done
"$prefix/sbin/keyadm" user add alice --password-fd 3 3<<<'right'
printf 'a value' | "$prefix/sbin/keyadm" credential set alice token --value-fd 0
for program in by-pkg-config by-pkg-config-static by-cmake; do
  "$scratch/$program" alice token <<<'right' | grep -q 'is alice, by srp/modern' || { echo "$program does not authenticate"; exit 1; }
  if "$scratch/$program" alice token <<<'wrong' 2>/dev/null; then echo "$program takes a wrong password"; exit 1; fi
  echo "$program: authenticated"
done
