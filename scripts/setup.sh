# setup.sh: what scripts/test and scripts/demo share: the Debian packages marque needs, and how they get here.
# Sourced, not run.

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config ca-certificates libdnnl-dev libhdf5-dev libzip-dev
    libarchive-dev libtiff-dev libheif-dev libgif-dev libwebp-dev libpng-dev libjpeg62-turbo-dev libjansson-dev
    libcurl4-openssl-dev libssl-dev libxxhash-dev zlib1g-dev libexpat1-dev libutf8proc-dev"
# aarch64's compiler (40 MB) only checks that what needs no library compiles there.
# man, zsh and fish read what marque says of itself; debootstrap, dpkg-dev and file are for the Debian package;
# libheif-examples makes HEIC and AVIF pictures, locales one with a decimal comma, zstd an archive.
# ccache spares builds what another has compiled.
TEST_PACKAGES="libcmocka-dev clang clang-format libclang-rt-dev openssl strace faketime gcc-aarch64-linux-gnu
    libc6-dev-arm64-cross g++ man-db zsh fish debootstrap dpkg-dev file libheif-examples locales zstd ccache"
# Real pictures to learn from (161 MB), where no others are given.
PICTURE_PACKAGES="tuxpaint-stamps-default"

say() { printf '%s\n' "$*"; }
stop() { # CODE TEXT...
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}

# Those of the named packages that are not installed.
missing_packages() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
    done
}

# need_packages INSTALL PACKAGE...: INSTALL is yes or no. Ends the script with 69 where something stays missing.
need_packages() {
    install=$1
    shift
    if ! command -v dpkg-query >/dev/null; then
        say "This is not Debian: what is asked for by these packages must be here already: $*"
        return 0
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    sudo=
    [ "$(id -u)" = 0 ] || sudo="sudo "
    line="${sudo}apt-get install -y --no-install-recommends ${missing% }"
    say "Debian packages that are missing: ${missing% }"
    [ "$install" = yes ] || stop 69 "Nothing was installed. Run this, then try again:
  $line"
    if [ -t 0 ] && [ -t 1 ] && [ -z "${CI:-}" ]; then
        printf 'Install them now? [Y/n] '
        read -r answer
        case $answer in [Nn]*) stop 69 "Nothing was installed. The line to run is:
  $line" ;; esac
    fi
    [ -z "$sudo" ] || command -v sudo >/dev/null || stop 69 "sudo is not here. As root, run:
  ${line#sudo }"
    install_packages
}

# Installs $missing; what apt-get says is shown only when it fails.
install_packages() {
    mkdir -p build
    log=build/setup.log
    say "Installing them ..."
    ${sudo}env DEBIAN_FRONTEND=noninteractive apt-get update -qq >"$log" 2>&1 || true
    # shellcheck disable=SC2086 # one word for each package
    ${sudo}env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends \
        $missing </dev/null >>"$log" 2>&1 && return 0
    tail -n 15 "$log" >&2
    stop 69 "The packages could not be installed (all of it is in $log). The line was:
  $line"
}
