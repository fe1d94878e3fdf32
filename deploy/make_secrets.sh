#!/bin/sh
# Create the secrets of docker-compose.yml in a folder (default: secrets/): make_secrets.sh [FOLDER]
#
# An existing folder is never overwritten: the database keeps its first password, and a new pepper makes every API key
# invalid. The files are readable by all users because each container reads them as a different user. Only the owner
# can enter the folder. A folder of an older version gets the files that it lacks.
#
# Each program has its own user of the database and of the broker, and its own storage key (<program>_...):
# docs/production.md. The files lipe_database_url, lipe_broker_url and lipe_s3_... are those of the owner, which only the
# service `migrate` gets. The storage key of a program is for the bucket LIPE_S3_BUCKET (default: lipe) alone.
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
make_internal_certificate() { # key and certificate in one file, which guards a port of the storage: docker-compose.yml
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/O=LIPE/CN=s3" \
        -keyout - 2>/dev/null >"$1/s3_internal.pem" && chmod 444 "$1/s3_internal.pem"
}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
new_secret() {
    case $1 in
    lipe_policy_secret) echo "whsec_$(head -c32 /dev/urandom | base64 | tr -d '\n')" ;;
    *) random && echo ;;
    esac
}

keep() { printf '%s\n' "$2" >"$target/$1" && chmod 444 "$target/$1"; }
identity() { # the name, its actions, its secret key
    printf '{"name": "%s", "actions": [%s], "credentials": [{"accessKey": "%s", "secretKey": "%s"}]}' "$1" "$2" "$1" "$3"
}
make_programs() { # users and keys of the programs, by the owner's, in the folder $target
    owner_url=$(cat "$target/lipe_database_url")
    owner_key=$(cat "$target/lipe_s3_secret_access_key")
    bucket=${LIPE_S3_BUCKET:-lipe}
    identities=$(identity lipe '"Admin"' "$owner_key")
    is_ours=$(grep -sc "$owner_key" "$target/s3.json" || true) # 0: the storage is the operator's own
    for program in api dispatcher webhooks worker; do
        keep "${program}_database_url" "$(echo "$owner_url" | sed "s#//[^@]*@#//lipe_$program:$(random)@#")"
        case $program in
        dispatcher) actions='"Write:'$bucket'", "List:'$bucket'"' ;;
        webhooks) actions='"Read:'$bucket'", "Write:'$bucket'"' ;;
        *) actions='"Read:'$bucket'", "Write:'$bucket'", "List:'$bucket'"' ;;
        esac
        if [ "${is_ours:-0}" = 0 ]; then
            keep "${program}_s3_access_key_id" "$(cat "$target/lipe_s3_access_key_id")"
            keep "${program}_s3_secret_access_key" "$owner_key"
        else
            key=$(random)
            keep "${program}_s3_access_key_id" "lipe-$program"
            keep "${program}_s3_secret_access_key" "$key"
            identities="$identities, $(identity "lipe-$program" "$actions" "$key")"
        fi
    done
    if [ "${is_ours:-0}" != 0 ]; then # in place, because a container has the file itself mounted
        chmod 644 "$target/s3.json"
        keep s3.json "{\"identities\": [$identities]}"
    fi
    keep lipe_file_url_secret "$(random)"
    keep unused_pepper "$(random)"
}

# The commands are those of kombu's transport for Redis, and those with which redis-py opens a connection. Sending needs
# no right to read: a program that only sends cannot see what waits. Tables of bindings hold names of queues alone.
SENDS='+sadd +smembers +exists +llen +lpush +multi +exec +discard ~_kombu.binding*'
TAKES='+srem +brpop +rpop +rpush +del +zadd +zrem +zrange +zrangebyscore +hset +hget +hdel +watch +unwatch +set +get
    +pexpire +time +eval +evalsha +script|load +script|exists +publish +psubscribe +punsubscribe +subscribe +unsubscribe
    ~*.pidbox &/0.celery.pidbox &/0.celeryev/*'
broker_user() { # the name, its rights, its password
    opens='+hello +auth +ping +select +quit +client|setinfo +client|setname +client|id'
    echo user "$1" on resetkeys resetchannels -@all $opens $2 ">$3"
}
make_broker_users() { # users of the programs, beside the owner's, in the folder $target
    owner_url=$(cat "$target/lipe_broker_url")
    owner=$(echo "$owner_url" | sed -n 's#^redis://:\([^@/]*\)@.*#\1#p')
    is_ours=$([ -n "$owner" ] && grep -sc "^requirepass $owner\$" "$target/broker.conf" || true)
    lines="requirepass $owner"
    for program in api dispatcher webhooks worker; do
        if [ "${is_ours:-0}" = 0 ]; then # the broker is the operator's own
            keep "${program}_broker_url" "$owner_url"
            continue
        fi
        case $program in
        webhooks) rights="$SENDS $TAKES ~webhooks* ~unacked.webhooks*" ;;
        worker) rights="$SENDS $TAKES ~priors* ~edits* ~unacked.jobs*" ;;
        *) rights="$SENDS %W~priors* %W~edits* %W~webhooks*" ;;
        esac
        password=$(random)
        keep "${program}_broker_url" "$(echo "$owner_url" | sed "s#//:[^@]*@#//lipe_$program:$password@#")"
        lines="$lines
$(broker_user "lipe_$program" "$rights" "$password")"
    done
    if [ "${is_ours:-0}" != 0 ]; then # in place, because a container has the file itself mounted
        chmod 644 "$target/broker.conf"
        keep broker.conf "$lines"
    fi
}

if [ -e "$folder" ]; then
    target=$folder
    if [ -e "$folder/credentials_key.pem" ] && [ -e "$folder/grafana_password" ] && [ -e "$folder/unused_pepper" ] \
        && [ -e "$folder/s3_internal.pem" ] && [ -e "$folder/worker_broker_url" ]; then
        echo "$folder exists: its secrets are unchanged"
    else
        [ -e "$folder/credentials_key.pem" ] || make_certificate "$folder"
        [ -e "$folder/s3_internal.pem" ] || make_internal_certificate "$folder"
        for name in lipe_watermark_key lipe_policy_secret lipe_metrics_token grafana_password; do
            [ -e "$folder/$name" ] || { new_secret "$name" >"$folder/$name" && chmod 444 "$folder/$name"; }
        done
        [ -e "$folder/unused_pepper" ] || make_programs
        [ -e "$folder/worker_broker_url" ] || make_broker_users
        echo "$folder exists: it got the secrets that it lacked, and the others are unchanged"
    fi
    exit 0
fi

target="$folder.unfinished"
rm -rf "$target"
mkdir -m 700 "$target"
database=$(random) broker=$(random) storage=$(random)
keep postgres_password "$database"
keep lipe_database_url "postgresql+psycopg://lipe:$database@postgres/lipe"
keep broker.conf "requirepass $broker"
keep lipe_broker_url "redis://:$broker@broker:6379/0"
keep s3.json "{\"identities\": [$(identity lipe '"Admin"' "$storage")]}"
keep lipe_s3_access_key_id lipe
keep lipe_s3_secret_access_key "$storage"
keep lipe_key_pepper "$(random)"
keep lipe_prompt_writer_key ''
keep lipe_policy_secret "$(new_secret lipe_policy_secret)"
keep lipe_watermark_key "$(random)"
keep lipe_metrics_token "$(random)"
keep grafana_password "$(random)"
make_programs
make_broker_users
make_certificate "$target"
make_internal_certificate "$target"
mv "$target" "$folder"
echo "$folder is created: keep a copy of it with the backups"
