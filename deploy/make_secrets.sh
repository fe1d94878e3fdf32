#!/bin/sh
# Create the secrets of docker-compose.yml in a folder (default: secrets/): make_secrets.sh [FOLDER]
#
# An existing folder is never overwritten: the database keeps its first password, and a new pepper makes every API key
# invalid. The files are readable by all users because each container reads them as a different user. Only the owner
# can enter the folder.
set -eu
folder=${1:-"$(dirname "$0")/../secrets"}
if [ -e "$folder" ]; then
    echo "$folder exists: its secrets are unchanged"
    exit 0
fi

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
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
mv "$unfinished" "$folder"
echo "$folder is created: keep a copy of it with the backups"
