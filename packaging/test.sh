#!/usr/bin/env bash
# Installs what the tests need, then runs them: all of them, or one group.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'HELP'
usage: packaging/test.sh [GROUP] [--long]

Groups, in the order in which they run when none is named:
  lint        formatting, clippy, the dependency rules and licenses (cargo deny)
  unit        every crate's own tests
  scenarios   hardware-tests: the promises, each shown on real parts against a private swtpm
  fuzz        every parser of foreign bytes: its corpus, then 20 s of search
  story       packaging/quickstart.sh: twice, the second time in under a minute, and once with its own small agent

--long        full counts: ten minutes of search for each fuzz target, more crash points

With CI=true nothing may be left out: what this machine cannot show fails.
HELP
}

group=all
long=
for argument in "$@"; do
    case $argument in
        lint | unit | scenarios | fuzz | story) group=$argument ;;
        --long) long=1 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

# shellcheck source=packaging/setup.sh
. packaging/setup.sh
setup_all
case $group in
    all | scenarios | story) setup_agents ;;
esac
case $group in
    all | unit | scenarios) setup_postgres ;;
esac

step() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }
wants() { [ "$group" = all ] || [ "$group" = "$1" ]; }

# run_tests everything|unit|scenarios: the tests' own runner where it is installed, else cargo's.
# Always the whole workspace: another selection would unify features anew and rebuild the world.
run_tests() {
    local scenarios=holdfast-hardware-tests
    if command -v cargo-nextest >/dev/null; then
        case $1 in
            everything) cargo nextest run --locked --profile ci --workspace ;;
            unit) cargo nextest run --locked --profile ci --workspace -E "not package($scenarios)" ;;
            scenarios) cargo nextest run --locked --profile ci --workspace -E "package($scenarios)" ;;
        esac
    else
        case $1 in
            everything) cargo test --locked --no-fail-fast --workspace ;;
            unit) cargo test --locked --no-fail-fast --workspace --exclude "$scenarios" ;;
            scenarios) cargo test --locked --no-fail-fast --workspace --test main scenarios:: ;;
        esac
    fi
}

# Known holes in what we build on. The list of them comes from the network, and not every machine may fetch it.
check_advisories() {
    if ! timeout 60 cargo deny --log-level error fetch db 2>/dev/null; then
        echo "SKIPPED: advisories: RustSec's database cannot be fetched from here"
        return
    fi
    cargo deny --locked --log-level error check --disable-fetch advisories
}

if wants lint; then
    step "lint"
    setup_cargo_deny
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
    cargo deny --locked --log-level error check bans licenses sources
    check_advisories
    npm --prefix ui run --silent check
fi

if wants unit || wants scenarios; then
    step "build"
    cargo build --locked --workspace --all-targets --quiet
fi

[ -z "$long" ] || export HOLDFAST_TEST_LONG=1

if wants unit; then
    step "front end"
    npm --prefix ui run --silent test
fi

if wants unit && wants scenarios; then
    step "unit and scenarios"
    run_tests everything
elif wants unit; then
    step "unit"
    run_tests unit
elif wants scenarios; then
    step "scenarios"
    run_tests scenarios
fi

if wants fuzz; then
    step "fuzz"
    packaging/lib/fuzz.sh --seconds "$([ -n "$long" ] && echo 600 || echo 20)"
fi

if wants story; then
    step "story, first run"
    packaging/quickstart.sh
    step "story, second run"
    SECONDS=0
    packaging/quickstart.sh
    [ "$SECONDS" -lt 60 ] || { echo "the second run took $SECONDS s; it is to take less than a minute" >&2; exit 1; }
    step "story, as where no coding agent is installed"
    HOLDFAST_AGENT=scripted packaging/quickstart.sh
fi
step "done"
