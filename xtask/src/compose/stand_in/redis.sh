# In the base image, as root. The public image, too, starts as root and goes on as the user redis.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends redis-server redis-tools
rm -rf /var/lib/apt/lists/*
mkdir -p /data
chown redis:redis /data
cat >/usr/local/bin/docker-entrypoint.sh <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    chown redis:redis /data
    exec setpriv --reuid redis --regid redis --clear-groups "$@"
fi
exec "$@"
SCRIPT
chmod 0755 /usr/local/bin/docker-entrypoint.sh
