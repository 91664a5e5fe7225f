# In the base image, as root. What the public image has, from the same packages, laid in /out: no shell, no package manager.
set -eu
apt-get update -q
mkdir -p /tmp/packages
cd /tmp/packages
apt-get download -q base-files netbase tzdata libc6 libgcc-s1 libgomp1 libssl3 libstdc++6 ca-certificates
for package in *.deb; do dpkg-deb -x "$package" /out; done
rm -rf /out/usr/share/doc /out/usr/share/man /out/usr/share/lintian /out/usr/share/ca-certificates /out/usr/sbin
mkdir -p /out/etc/ssl/certs /out/home/nonroot /out/tmp
cp /authorities.crt /out/etc/ssl/certs/ca-certificates.crt
printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >/out/etc/passwd
printf 'root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n' >/out/etc/group
chown 65532:65532 /out/home/nonroot
chmod 0700 /out/home/nonroot
chmod 1777 /out/tmp
