#!/usr/bin/env bash
# The main job, done by real programs over real sockets. Run it with ./dev demo; it needs no privileges, but as root it
# reaches the tier "kernel", or "watch" where that cannot be had. Everything lives in a temporary directory and is gone afterwards.
set -euo pipefail

directory=$(mktemp -d /tmp/keyd-demo.XXXXXX)
export KEYD_RUNTIME_DIR=$directory/run
daemon= client=
finish() {
  [ -z "$client" ] || kill "$client" 2>/dev/null || true
  [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" || true; }
  rm -rf "$directory"
}
trap finish EXIT

step=0
say() { step=$((step + 1)); printf '\n--- %d. %s\n' "$step" "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; sed 's/^/keyd.log: /' "$directory/keyd.log" >&2; exit 1; }
# Waits up to 10 s until a command succeeds.
until_true() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }
# The state of the client's record, as a program would ask for it.
state() { keystat "$client" -o json 2>/dev/null | sed -n 's/.*"state": "\([A-Z]*\)".*/\1/p'; }
state_is() { [ "$(state)" = "$1" ]; }
record_is_gone() { ! keystat "$client" >/dev/null 2>&1; }

say "keyd starts, in a directory of its own"
keyd -F --runtime-dir "$KEYD_RUNTIME_DIR" --state-dir "$directory/state" >"$directory/keyd.out" 2>"$directory/keyd.log" &
daemon=$!
until_true grep -q '^keyd: ready' "$directory/keyd.out" || fail "keyd did not start"
cat "$directory/keyd.out"
sed -n 's/.*\(tier [a-z]*,.*\)/\1/p' "$directory/keyd.log"

say "a user is enrolled, for srp as nothing else is said, and gets a credential"
keyadm user add alice --password-fd 3 3<<<'correct horse battery staple'
keyadm credential set alice db-password --value-fd 3 3< <(printf 'the database password')
keyadm user list

say "a client process begins the exchange; nobody has typed the password yet: PENDING"
mkfifo "$directory/password" "$directory/go"
exec 8<>"$directory/password" 9<>"$directory/go"  # below 10: dash redirects no others
keyrun --user alice --password-fd 8 --credential db-password -- \
  sh -c 'printf "client: I am process %s, and my credential is: " $$; cat <&"$KEYD_CREDENTIAL_DB_PASSWORD"; echo; read -r line <&9' &
client=$!
until_true state_is PENDING || fail "the record is not PENDING but '$(state)'"
keystat "$client"

say "the password arrives, the proof is judged: COMPLETE; the credential came through the sealed session"
echo 'correct horse battery staple' >&8
until_true state_is COMPLETE || fail "the record is not COMPLETE but '$(state)'"
sleep 0.2
keystat "$client"

say "the process ends, and its record with it"
echo >&9
wait "$client" || fail "the client failed"
until_true record_is_gone || fail "the record outlived its process"
keystat "$client" || true
client=

say "a wrong password is refused"
if keyrun --user alice --password-fd 3 -- true 3<<<'a wrong guess'; then fail "a wrong password was accepted"; fi

say "a program of our own, with libkeyclient"
echo 'correct horse battery staple' | who_am_i alice db-password || fail "who_am_i failed"

say "what keyd's audit log says of all this"
grep ' audit ' "$directory/keyd.log"
printf '\ndemo: done\n'
