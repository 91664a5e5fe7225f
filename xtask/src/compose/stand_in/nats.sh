# In the base image, as root. /nats-server is this machine's. What Alpine has besides is wget, from the same program.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends busybox
rm -rf /var/lib/apt/lists/*
ln -s /bin/busybox /usr/bin/wget
install -m 0755 /nats-server /usr/local/bin/nats-server
