#!/bin/bash
# Makes the vectors audit_* of tpm/ anew in the folder that is given: swtpm and tpm2-tools are needed. What is audited is sent
# in raw bytes, because no tool asks for capabilities in a session.
set -eu
mkdir -p "$1/state"
cd "$1"
swtpm socket --tpm2 --tpmstate dir=state --flags not-need-init,startup-clear \
    --server type=tcp,port=24341 --ctrl type=tcp,port=24342 &
swtpm=$!
trap 'kill $swtpm' EXIT
sleep 1
export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=24341
flush() { tpm2_flushcontext -t; }
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
raw() { printf "$(printf %s "$1" | sed 's/../\\x&/g')"; }
# Again where the TPM asks for that (TPM_RC_RETRY).
send() {
    raw "$1" | tpm2_send -o answer
    [ "$(answered 7 10)" != 00000922 ] || send "$1"
}
# Bytes FROM to TO of the answer, counted from 1.
answered() { hex answer | cut -c$((2 * $1 - 1))-$((2 * $2)); }
repeat() { i=0; while [ $i -lt "$2" ]; do printf %s "$1"; i=$((i + 1)); done; }

tpm2_createek -G ecc -c ek.ctx -u ek.pub; flush
tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u audit_ak.pub.tpm2b; flush
tpm2_evictcontrol -C o -c ak.ctx 0x81010002; flush

# TPM2_StartAuthSession: HMAC, unsalted, unbound, SHA-256.
send "80010000003b0000017640000007400000070020$(repeat 11 32)0000000010000b"
session=$(answered 11 14)
# TPM2_GetCapability of TPM_CAP_PCRS, with the session as audit; its HMAC may be empty, because its key is.
send "8002000000230000017a00000009${session}0000810000000000050000000000000001"
size=$((0x$(answered 11 14)))
raw "$(answered 20 $((14 + size)))" > audit_banks.list
# TPM2_GetSessionAuditDigest over extraData of 32 bytes.
password=400000090000000000
send "8002000000500000014d4000000b81010002${session}00000012${password}${password}0020$(repeat aa 32)0010"
size=$((0x$(answered 15 16)))
raw "$(answered 17 $((16 + size)))" > audit_banks.attest
raw "$(answered $((17 + size)) $((14 + 0x$(answered 11 14))))" > audit_banks.sig

send "80010000000e00000165${session}"

# The same of two other commands, by tools alone.
tpm2_startauthsession --audit-session -S session.ctx
tpm2_getrandom 8 -S session.ctx -o audit_random1.bin
tpm2_getrandom 16 -S session.ctx -o audit_random2.bin
tpm2_getsessionauditdigest -c ak.ctx -S session.ctx -g sha256 -q "$(repeat aa 32)" \
    -m audit_random.attest -s audit_random.sig
tpm2_flushcontext session.ctx
