# In the base image, as root. /toolchain, /cargo-bin and /authorities.crt are this machine's.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends ca-certificates curl gcc git libc6-dev make pkg-config
rm -rf /var/lib/apt/lists/*
cp /authorities.crt /etc/ssl/certs/ca-certificates.crt
version=$(/toolchain/bin/rustc --version | cut -d ' ' -f 2)
host=$(/toolchain/bin/rustc -vV | sed -n 's/^host: //p')
name=$version-$host
mkdir -p "/usr/local/rustup/toolchains/$name" /usr/local/cargo/bin
tar -C /toolchain --exclude ./share/doc --exclude ./share/man -c . | tar -C "/usr/local/rustup/toolchains/$name" -x
for program in cargo rustc rustdoc rustup; do cp /cargo-bin/$program /usr/local/cargo/bin/; done
printf 'version = "12"\nprofile = "minimal"\ndefault_toolchain = "%s"\n\n[overrides]\n' "$name" >/usr/local/rustup/settings.toml
