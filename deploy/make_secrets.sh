#!/bin/sh
# Make the secrets of docker-compose.yml in a folder (secrets/): make_secrets.sh [FOLDER]
#
# Made once and never overwritten: the database keeps the password that it was created with, and another pepper makes
# every API key invalid. The files are readable by all because each container reads them as a user of its own; who
# may not enter the folder cannot reach them.
set -eu
folder=${1:-"$(dirname "$0")/../secrets"}
if [ -e "$folder" ]; then
    echo "$folder exists: its secrets stay as they are"
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
echo "$folder is made: keep a copy of it with the backups"
