#!/usr/bin/env bash
# The one setup step that quickstart.sh, test.sh and bench.sh share.
#
# On a bare Debian 12/13 or Ubuntu 24.04+ (as root, or with sudo) it installs what building and
# running Holdfast takes: system packages, the pinned Rust toolchain, and tpm2-tss >= 4.1.3 in a
# private prefix where the distribution's is older. Idempotent: what is there is left alone.
#
# It is sourced, not run: it exports what env.sh has, which the build needs.
# It never replaces a system library, and never touches a real TPM.
set -euo pipefail

HOLDFAST_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The private prefix of the TPM software stack; kept between runs.
HOLDFAST_TSS_PREFIX=${HOLDFAST_TSS_PREFIX:-/opt/holdfast/tss}
# The binding is made for these releases.
HOLDFAST_TSS_MINIMUM=4.1.3
HOLDFAST_TSS_LIMIT=4.2.0
# A newer Node.js, where the distribution's is too old; and the real agents of the scenarios.
HOLDFAST_NODE=${HOLDFAST_NODE:-/opt/holdfast/node}
HOLDFAST_NODE_MINIMUM=20.19.0
export HOLDFAST_AGENTS=${HOLDFAST_AGENTS:-/opt/holdfast/agents}

say() { printf '%s\n' "$*"; }
die() { printf 'holdfast setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "needs root to run '$1': run it as root, or install sudo"
    fi
}

# at_least HAVE WANT: version comparison as dpkg does it.
at_least() { dpkg --compare-versions "$1" ge "$2"; }

setup_packages() {
    command -v apt-get >/dev/null ||
        die "no apt-get: Holdfast's setup knows Debian 12/13 and Ubuntu 24.04+; see README.md for what to install by hand"
    # The build, the simulator, and the independent tools that the tests hold us against.
    local wanted=(build-essential pkg-config ca-certificates curl git cmake clang libclang-dev
        swtpm swtpm-tools tpm2-tools openssl sqlite3 jq python3 python3-pip python3-venv iproute2 procps
        # What memory is measured beside, and what speaks to it.
        openssh-client
        # The approval window, and what shows and drives it where there is no screen.
        libwebkit2gtk-4.1-dev librsvg2-dev webkit2gtk-driver xvfb dbus tmux
        # A keyring, for the vault's share.
        gnome-keyring
        # Clocks that are wrong.
        faketime
        # Large files in repositories.
        git-lfs
        # A file system without idmapped mounts.
        bindfs
        # Terminals and shells that people use.
        tmux zsh)
    local missing=() package
    for package in "${wanted[@]}"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "setup: installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

setup_rust() {
    local pinned
    pinned=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$HOLDFAST_ROOT/rust-toolchain.toml")
    export PATH="$HOME/.cargo/bin:$PATH"
    if ! command -v rustup >/dev/null && ! command -v cargo >/dev/null; then
        say "setup: installing rustup"
        if apt-cache show rustup >/dev/null 2>&1; then
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup >/dev/null
        else
            curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none
        fi
    fi
    if command -v rustup >/dev/null; then
        rustup toolchain list | grep -q "^$pinned" || {
            say "setup: installing Rust $pinned"
            rustup toolchain install "$pinned" --profile minimal --component clippy,rustfmt
        }
    else
        at_least "$(rustc --version | cut -d' ' -f2)" "$pinned" || die "Rust $pinned or later is needed; found $(rustc --version)"
    fi
}

# fits_tss VERSION: whether this release of tpm2-tss is one that the build takes.
fits_tss() {
    dpkg --validate-version "${1:-}" >/dev/null 2>&1 && at_least "$1" "$HOLDFAST_TSS_MINIMUM" && ! at_least "$1" "$HOLDFAST_TSS_LIMIT"
}

# Builds tpm2-tss from a later release's source package of the machine's own distribution.
build_tss() {
    local tools=(autoconf automake libtool autoconf-archive libltdl-dev libssl-dev dpkg-dev)
    say "setup: building tpm2-tss into $HOLDFAST_TSS_PREFIX (about a minute)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${tools[@]}" >/dev/null
    local suite mirror work version
    # shellcheck disable=SC1091
    case "$(. /etc/os-release && echo "$ID")" in
        debian) suite=trixie ;;
        ubuntu) suite=resolute ;;
        *) die "no known source of tpm2-tss $HOLDFAST_TSS_MINIMUM for this distribution; install it and set PKG_CONFIG_PATH" ;;
    esac
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | grep -v security | head -n 1)
    [ -n "$mirror" ] || die "apt has no package source configured"
    work=$(mktemp -d)
    # An apt of its own: one source entry, private lists, the machine's own keys and proxies.
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/src"
    printf 'deb-src %s %s main\n' "$mirror" "$suite" >"$work/sources.list"
    local apt=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
        -o Dir::Etc::TrustedParts=/usr/share/keyrings)
    as_root apt-get "${apt[@]}" update -qq
    (cd "$work/src" && as_root apt-get "${apt[@]}" source --download-only -qq tpm2-tss >/dev/null)
    local tarball
    tarball=$(find "$work/src" -name 'tpm2-tss_*.orig.tar.*' ! -name '*.asc' | head -n 1)
    [ -n "$tarball" ] || die "the source package of tpm2-tss did not arrive"
    version=$(basename "$tarball" | sed -n 's/^tpm2-tss_\([0-9.]*[0-9]\).*\.orig\.tar\..*/\1/p')
    fits_tss "$version" || die "the source package of tpm2-tss in $suite is $version; $HOLDFAST_TSS_MINIMUM or later below $HOLDFAST_TSS_LIMIT is needed"
    tar -xf "$tarball" -C "$work"
    (
        cd "$(find "$work" -maxdepth 1 -type d -name 'tpm2-tss*' | head -n 1)"
        # ./bootstrap asks git for the version; it is the tarball's own.
        git init -q . && git add -A >/dev/null 2>&1
        git -c user.name=setup -c user.email=setup@localhost commit -qm import
        git tag "$version"
        ./bootstrap >/dev/null 2>&1
        ./configure -q --prefix="$HOLDFAST_TSS_PREFIX" --disable-fapi --disable-policy --disable-doxygen-doc \
            --disable-tcti-libtpms --disable-tcti-mssim --disable-tcti-spi-helper --disable-tcti-i2c-helper \
            --disable-tcti-pcap --disable-tcti-cmd --disable-tcti-spi-ltt2go --disable-tcti-spidev \
            --disable-tcti-spi-ftdi --disable-tcti-i2c-ftdi --with-udevrulesdir="$HOLDFAST_TSS_PREFIX/udev" \
            --with-crypto=ossl --disable-static --disable-weakcrypto >"$work/configure.log" 2>&1 || { tail -n 20 "$work/configure.log" >&2; exit 1; }
        make -s -j"$(nproc)" >"$work/make.log" 2>&1 || { tail -n 20 "$work/make.log" >&2; exit 1; }
        as_root make -s install >"$work/install.log" 2>&1 || { tail -n 20 "$work/install.log" >&2; exit 1; }
    ) || die "building tpm2-tss failed"
    rm -rf "$work"
}

setup_tss() {
    local installed candidate
    installed=$(pkg-config --modversion tss2-esys 2>/dev/null || echo 0)
    if fits_tss "$installed"; then return; fi
    # The distribution's own, where it is recent enough (Debian 13).
    candidate=$(LC_ALL=C apt-cache policy libtss2-dev 2>/dev/null | sed -n 's/^ *Candidate: *//p')
    if fits_tss "${candidate%-*}"; then
        say "setup: installing libtss2-dev"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libtss2-dev >/dev/null
        return
    fi
    [ -f "$HOLDFAST_TSS_PREFIX/lib/pkgconfig/tss2-esys.pc" ] || build_tss
    # shellcheck source=packaging/env.sh
    . "$HOLDFAST_ROOT/packaging/env.sh"
}

# npm_ci SOURCE TARGET: what SOURCE/package-lock.json names, installed in TARGET; no package's script runs.
npm_ci() {
    cmp -s "$1/package-lock.json" "$2/node_modules/.installed" && return
    say "setup: installing the npm packages of $(basename "$1") into $2"
    # Made by root, filled by whoever runs this: npm has no business being root.
    mkdir -p "$2" 2>/dev/null || as_root install -d -o "$(id -u)" -g "$(id -g)" "$2"
    cp "$1/package.json" "$1/package-lock.json" "$1/.npmrc" "$2/"
    npm --prefix "$2" ci --loglevel=error >/dev/null || die "npm could not install $1"
    cp "$1/package-lock.json" "$2/node_modules/.installed"
}

has_node() {
    local have
    have=$(node --version 2>/dev/null) && command -v npm >/dev/null && at_least "${have#v}" "$HOLDFAST_NODE_MINIMUM"
}

# Node.js >= 20: the machine's (Debian 13), or else one from npm that the distribution's older npm fetches.
setup_node() {
    has_node && return
    if ! command -v npm >/dev/null; then
        say "setup: installing nodejs and npm"
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
    fi
    has_node && return
    npm_ci "$HOLDFAST_ROOT/packaging/node" "$HOLDFAST_NODE"
    # Links of our own: npm 9 makes none where two packages, of which one fits, bring the same program.
    mkdir -p "$HOLDFAST_NODE/bin"
    ln -sf "$HOLDFAST_NODE"/node_modules/node-linux-*/bin/node "$HOLDFAST_NODE/bin/node"
    ln -sf "$HOLDFAST_NODE/node_modules/npm/bin/npm-cli.js" "$HOLDFAST_NODE/bin/npm"
    ln -sf "$HOLDFAST_NODE/node_modules/npm/bin/npx-cli.js" "$HOLDFAST_NODE/bin/npx"
    export PATH="$HOLDFAST_NODE/bin:$PATH"
    has_node || die "no Node.js >= $HOLDFAST_NODE_MINIMUM: $HOLDFAST_NODE has none for this processor"
}

# The approval window's front end, built once for what its sources are now.
setup_front_end() {
    local ui=$HOLDFAST_ROOT/ui sources built
    sources=$(cd "$ui" && find package-lock.json ./*.ts ./*.json web -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    built=$ui/node_modules/.built
    [ -f "$ui/dist/index.html" ] && [ "$(cat "$built" 2>/dev/null)" = "$sources" ] && return
    say "setup: building the approval window's front end"
    (cd "$ui" && npm ci --loglevel=error >/dev/null && npm run --silent build >/dev/null) || die "the front end was not built"
    printf '%s' "$sources" >"$built"
}

# The real agents that scenarios run. Their licenses let everybody install them, and nobody pass them on.
setup_agents() {
    npm_ci "$HOLDFAST_ROOT/packaging/agents" "$HOLDFAST_AGENTS"
}

# A PostgreSQL for the tests to start their own of. The machine gets no cluster and no running server from us.
setup_postgres() {
    [ -n "$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb 2>/dev/null)" ] && return
    say "setup: installing postgresql"
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        as_root mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
}

# The tool that keeps the dependency rules; only the lint group needs it.
setup_cargo_deny() {
    command -v cargo-deny >/dev/null && return
    say "setup: building cargo-deny (once, some minutes)"
    env -u RUSTFLAGS cargo install --locked --quiet --debug --version 0.20.2 cargo-deny
}

setup_all() {
    setup_packages
    setup_rust
    setup_tss
    setup_node
    setup_front_end
}
