#!/bin/sh
# Create the secrets of docker-compose.yml in a folder (default: secrets/): make_secrets.sh [FOLDER]
#
# An existing folder is never overwritten: the database keeps its first password, and a new pepper makes every API key
# invalid. The files are readable by all users because each container reads them as a different user. Only the owner
# can enter the folder. A folder of an older version gets the files that it lacks.
#
# credentials_chain.pem and credentials_key.pem sign the results, by a local authority for trying out. Replace them by
# those of your organization before you publish results: docs/content-credentials.md.
set -eu
folder=${1:-"$(dirname "$0")/../secrets"}
command -v openssl >/dev/null || { echo "install openssl: it makes the certificate that signs results" >&2; exit 1; }

make_certificate() {
    scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
    extensions='basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid'
    printf '%s\n' "$extensions" >"$scratch/extensions"
    for name in authority signer; do
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$scratch/$name.key" 2>/dev/null
    done
    openssl req -x509 -new -key "$scratch/authority.key" -days 3650 -out "$scratch/authority.pem" \
        -subj "/O=LIPE/CN=LIPE local authority (not on any trust list)" \
        -addext keyUsage=critical,keyCertSign,cRLSign
    openssl req -new -key "$scratch/signer.key" -subj "/O=LIPE/CN=LIPE content credentials" |
        openssl x509 -req -CA "$scratch/authority.pem" -CAkey "$scratch/authority.key" -days 825 \
            -set_serial "0x$(random | cut -c1-32)" -extfile "$scratch/extensions" -out "$scratch/signer.pem" 2>/dev/null
    cat "$scratch/signer.pem" "$scratch/authority.pem" >"$1/credentials_chain.pem"
    cp "$scratch/signer.key" "$1/credentials_key.pem"
    chmod 444 "$1/credentials_chain.pem" "$1/credentials_key.pem"
}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
new_secret() {
    case $1 in
    lipe_policy_secret) echo "whsec_$(head -c32 /dev/urandom | base64 | tr -d '\n')" ;;
    *) random && echo ;;
    esac
}

if [ -e "$folder" ]; then
    if [ -e "$folder/credentials_key.pem" ] && [ -e "$folder/lipe_policy_secret" ]; then
        echo "$folder exists: its secrets are unchanged"
    else
        [ -e "$folder/credentials_key.pem" ] || make_certificate "$folder"
        for name in lipe_watermark_key lipe_policy_secret; do
            [ -e "$folder/$name" ] || { new_secret "$name" >"$folder/$name" && chmod 444 "$folder/$name"; }
        done
        echo "$folder exists: it got the secrets that it lacked, and all else is unchanged"
    fi
    exit 0
fi

keep() { printf '%s\n' "$2" >"$unfinished/$1" && chmod 444 "$unfinished/$1"; }

unfinished="$folder.unfinished"
rm -rf "$unfinished"
mkdir -m 700 "$unfinished"
database=$(random) broker=$(random) storage=$(random)
keep postgres_password "$database"
keep lipe_database_url "postgresql+psycopg://lipe:$database@postgres/lipe"
keep broker.conf "requirepass $broker"
keep lipe_broker_url "redis://:$broker@broker:6379/0"
keep s3.json '{"identities": [{"name": "lipe", "actions": ["Admin"],
  "credentials": [{"accessKey": "lipe", "secretKey": "'"$storage"'"}]}]}'
keep lipe_s3_access_key_id lipe
keep lipe_s3_secret_access_key "$storage"
keep lipe_key_pepper "$(random)"
keep lipe_prompt_writer_key ''
keep lipe_policy_secret "$(new_secret lipe_policy_secret)"
keep lipe_watermark_key "$(random)"
make_certificate "$unfinished"
mv "$unfinished" "$folder"
echo "$folder is created: keep a copy of it with the backups"
