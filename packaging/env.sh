# The environment that a build of Holdfast needs; source it for work by hand.
# Where tpm2-tss lives in a private prefix, pkg-config has to find it there and so has the loader.
HOLDFAST_TSS_PREFIX=${HOLDFAST_TSS_PREFIX:-/opt/holdfast/tss}
if [ -f "$HOLDFAST_TSS_PREFIX/lib/pkgconfig/tss2-esys.pc" ]; then
    export PKG_CONFIG_PATH="$HOLDFAST_TSS_PREFIX/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
    export RUSTFLAGS="-C link-arg=-Wl,-rpath,$HOLDFAST_TSS_PREFIX/lib"
fi
