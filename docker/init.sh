#!/bin/sh
# Lays out what the lattice of docker-compose.yml needs before it starts: NATS configurations, keys, signed actors.
# Every process finds its own part in a volume of its own, and nothing of the others'. What is there already stays
# (keys above all), so it runs before each start.
set -eu
umask 077

state=$TRELLIS_STATE_DIR # the operator's volume: every key that was made
actors=/trellis/target/actors

# put FILE FOLDER: a copy, written whole or not at all.
put() {
    cp "$1" "$2/.new"
    mv "$2/.new" "$2/$(basename "$1")"
}

# key FILE KIND: a key that is made once.
key() {
    [ -e "$1" ] || trellis keys gen "$2" --file "$1" >/dev/null
}

# nats PLACE ARGUMENT...: a NATS server's configuration, with the users of that place.
nats() {
    place=$1
    shift
    trellis lattice config "$@" --listen 0.0.0.0:4222 --monitor 127.0.0.1:8222 \
        --store "/lattice/$place/jetstream" --out "$state/$place" >/dev/null
    put "$state/$place/nats.conf" "/lattice/$place"
    # How a PoP's server shows the hub who it is.
    if [ -e "$state/$place/leaf.conf" ]; then put "$state/$place/leaf.conf" "/lattice/$place"; fi
    echo "init: NATS server of $place"
}

# host NAME PLACE: a host's own key, its NATS user's and its providers', and whose actors it trusts.
host() {
    key "/lattice/$1/host.nk" host
    mkdir -p "/lattice/$1/nats"
    put "$state/$2/host.nk" "/lattice/$1/nats"
    put "$state/$2/provider.nk" "/lattice/$1/nats"
    put "$state/issuers" "/lattice/$1"
    echo "init: $1"
}

mkdir -p "$state/keys"
key "$state/keys/account.nk" account
trellis keys list "$state/keys" | awk '$1 == "account.nk" { print $3 }' >"$state/issuers"

nats hub --hub --pops fra,iad,sin --leaf-listen 0.0.0.0:7422
nats fra --pop fra --region eu --hub-url nats-leaf://nats-hub:7422
nats iad --pop iad --region us --hub-url nats-leaf://nats-hub:7422
nats sin --pop sin --region asia --hub-url nats-leaf://nats-hub:7422

host host-core hub
host host-fra fra
host host-iad iad
host host-sin sin
put "$state/hub/wadm.nk" /lattice/wadm

# Signed again only where the actor is another one: hosts have compiled what they know.
mkdir -p "$state/unsigned"
for actor in /trellis/actors/*.wasm; do
    name=$(basename "$actor")
    cmp -s "$actor" "$state/unsigned/$name" && [ -e "$actors/$name" ] && continue
    trellis sign --out "$actors/.new" "$actor" >/dev/null
    mv "$actors/.new" "$actors/$name"
    cp "$actor" "$state/unsigned/$name"
    echo "init: signed $name"
done
