#!/bin/sh
# Makes the vectors of tpm/ anew in the folder that is given: swtpm and tpm2-tools are needed.
set -eu
mkdir -p "$1/state"
cd "$1"
swtpm socket --tpm2 --tpmstate dir=state --flags not-need-init,startup-clear \
    --server type=tcp,port=24321 --ctrl type=tcp,port=24322 &
swtpm=$!
trap 'kill $swtpm' EXIT
sleep 1
export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=24321

# There are three transient slots and no resource manager.
flush() { tpm2_flushcontext -t; }
repeat() { i=0; while [ $i -lt "$2" ]; do printf %s "$1"; i=$((i + 1)); done; }

# Objects.
tpm2_createek -G rsa -c ek_rsa.ctx -u ek_rsa.pub.tpm2b; flush
tpm2_createek -G ecc -c ek_ecc.ctx -u ek_ecc.pub.tpm2b; flush
tpm2_createak -C ek_ecc.ctx -c ak_ecc.ctx -G ecc -g sha256 -s ecdsa -u ak_ecc.pub.tpm2b -n ak_ecc.name; flush
tpm2_createak -C ek_rsa.ctx -c ak_rsa.ctx -G rsa -g sha256 -s rsassa -u ak_rsa.pub.tpm2b -n ak_rsa.name; flush
tpm2_createak -C ek_rsa.ctx -c ak_pss.ctx -G rsa -g sha256 -s rsapss -u ak_pss.pub.tpm2b -n ak_pss.name; flush
tpm2_createprimary -C o -G ecc -c srk.ctx; flush
tpm2_create -C srk.ctx -G ecc256:ecdsa-sha256 -u node.pub.tpm2b -r node.priv -c node.ctx \
    -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda'; flush
tpm2_readpublic -c node.ctx -n node.name; flush
echo secret | tpm2_create -C srk.ctx -i - -u sealed.pub.tpm2b -r sealed.priv; flush

# Quotes and a certification.
tpm2_pcrextend "0:sha256=$(repeat a 64),sha384=$(repeat a 64)$(repeat b 32)" \
    "4:sha384=$(repeat a 64)$(repeat c 32)" "7:sha256=$(repeat d 64)"
for key in ecc:ecdsa rsa:rsassa pss:rsapss; do
    name=${key%:*}
    tpm2_quote -c "ak_$name.ctx" -l sha256:0,1,7+sha384:4 -q "$(repeat a 64)" -g sha256 --scheme "${key#*:}" \
        -m "quote_$name.attest" -s "quote_$name.sig"; flush
done
tpm2_certify -c node.ctx -C ak_ecc.ctx -g sha256 -o certify.attest -s certify.sig -P '' -p ''; flush

# Counted checkpoints.
tpm2_nvdefine 0x01800001 -C o -a 'authread|authwrite|no_da|nt=counter' -s 8
tpm2_nvincrement 0x01800001 -C 0x01800001
for number in 1 2 3; do
    root=$(printf 'root%d' $number | openssl dgst -sha256 -binary | base64)
    printf 'audit.example/log\n%d0\n%s\n' $number "$root" > cp$number.body
    tpm2_nvcertify -C ak_ecc.ctx -g sha256 -s ecdsa -f tss --attestation cp$number.attest -o cp$number.sig \
        -q "$(openssl dgst -sha256 -r cp$number.body | cut -d' ' -f1)" -c 0x01800001 --size 8 0x01800001; flush
    tpm2_nvincrement 0x01800001 -C 0x01800001
done
tpm2_nvincrement 0x01800001 -C 0x01800001 --cphash cphash.bin

# Policies, each in a trial session of its own.
tpm2_nvdefine 0x01800002 -C o -a 'ownerread|ownerwrite|authread|authwrite' -s 8
printf '\0\0\0\0\0\0\0\5' > five
tpm2_nvwrite 0x01800002 -C o -i five
openssl ecparam -name prime256v1 -genkey -noout -out signer.pem
openssl ec -in signer.pem -pubout -out signer.pub.pem
tpm2_loadexternal -C o -G ecc -u signer.pub.pem -c signer.ctx -n signer.name; flush
printf '\1\2\3' > reference
policy() {
    name=$1
    shift
    tpm2_startauthsession -S trial.ctx
    "$@" -S trial.ctx -L policy.out
    tpm2_flushcontext trial.ctx; flush
    printf '%s %s\n' "$name" "$(od -An -v -tx1 policy.out | tr -d ' \n')" >> policies.txt
    cp policy.out "$name.policy"
}
policy secret_owner tpm2_policysecret -c o
policy secret_owner_ref tpm2_policysecret -c o -q 010203
policy authvalue tpm2_policyauthvalue
policy sign tpm2_policycommandcode TPM2_CC_Sign
policy commandcode_unseal tpm2_policycommandcode TPM2_CC_Unseal
policy cphash tpm2_policycphash --cphash-input cphash.bin
policy countertimer_clock_ult tpm2_policycountertimer --ult clock=4102444800000
policy countertimer_resets_eq tpm2_policycountertimer resets=1
policy nv_eq tpm2_policynv -C o -i five 0x01800002 eq
policy nv_ule tpm2_policynv -C o -i five 0x01800002 ule
policy pcr_sha256_0_7 tpm2_policypcr -l sha256:0,7
policy pcr_two_banks tpm2_policypcr -l sha256:0,7+sha384:4
policy or_authvalue_sign tpm2_policyor -l sha256:authvalue.policy,sign.policy
policy authorize tpm2_policyauthorize -i authvalue.policy -n signer.name
policy authorize_ref tpm2_policyauthorize -i authvalue.policy -n signer.name -q reference
chain() {
    tpm2_policyauthvalue "$1" "$2"
    tpm2_policycountertimer "$1" "$2" --ult clock=4102444800000
    tpm2_policynv "$1" "$2" -C o -i five 0x01800002 eq
    tpm2_policypcr "$@" -l sha256:0,7
}
policy chain chain
