#!/bin/bash
# A poller as one writes it in a shell: curl asks, sed looks at the state, sqlite3 keeps it where it changed.
# Usage: peer_shell.sh URL_PREFIX FIRST_ID N_POLLS DATABASE CA_FILE
set -eu
prefix=$1 first=$2 n=$3 database=$4 ca_file=$5
sqlite3 "$database" 'CREATE TABLE job (id TEXT PRIMARY KEY, state TEXT)'
for ((i = 0; i < n; i++)); do
	id=$((first + i))
	state=$(curl -s --cacert "$ca_file" -H 'Authorization: Zoho-oauthtoken x' "$prefix$id" |
		sed -n 's/.*"state":"\([A-Z ]*\)".*/\1/p')
	[ -n "$state" ] || exit 1
	was=$(sqlite3 "$database" "SELECT state FROM job WHERE id = '$id'")
	[ "$state" = "$was" ] || sqlite3 "$database" "INSERT OR REPLACE INTO job VALUES ('$id', '$state')"
done
