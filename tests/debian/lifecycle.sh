#!/bin/sh
# What a person does with the package in its life, in a Debian that has never seen it; /run/given has two versions of
# it and photos. Each step prints a line; the first that is not as it must be ends with one on what is wrong.
set -eu
step() { printf '%s s  %s\n' "$(($(date +%s) - began))" "$*"; }
wrong() { printf 'wrong: %s\n' "$*"; exit 1; }
# Everything but dpkg's own records, its caches and logs, the account tools' backups, and what any Python compiles.
listed() {
  find / -xdev \( -path /proc -o -path /dev -o -path /run -o -path /tmp -o -path /var/lib/dpkg -o -path /var/cache \
    -o -path /var/log -o -path '/etc/*-' -o -name __pycache__ \) -prune -o -print | sort
}
accounts() { cut -d: -f1 /etc/passwd /etc/group | sort; }
sums() { sha256sum /etc/familiar/device.key /etc/familiar/familiar.toml /var/lib/familiar/gallery.db; }
familiar_log=/run/familiar.log
said() { "$@" >"$familiar_log" 2>&1 || { tail -n 5 "$familiar_log"; wrong "$*"; }; }

began=$(date +%s)
cd /run
listed >/run/before
accounts >/run/accounts
said dpkg --install /run/given/older.deb
step "installed $(dpkg-query -W -f '${Version} ${db:Status-Abbrev}, ${Installed-Size} kB' familiar-edge)"
[ "$(stat -c '%U %a' /var/lib/familiar /etc/familiar/device.key)" = "$(printf 'familiar 700\nfamiliar 400')" ] ||
  [ "$(stat -c '%U %a' /var/lib/familiar /etc/familiar/device.key)" = "$(printf 'familiar 700\nfamiliar 600')" ] ||
  wrong "rights: $(stat -c '%n %U %a' /var/lib/familiar /etc/familiar/device.key | tr '\n' ' ')"
said dpkg --verify familiar-edge
[ ! -s "$familiar_log" ] || wrong "dpkg --verify: $(head -n 1 "$familiar_log")"
said familiar config check
said familiar run --self-test
step "$(grep 'self-test passed' "$familiar_log")"
said familiar enroll Ash /run/given/Ash-1.png /run/given/Ash-2.png /run/given/Ash-3.png
said familiar identify /run/given/Ash-0.png
grep -q Ash "$familiar_log" || wrong "identify: $(cat "$familiar_log")"
step "enrolled and recognised: $(tail -n 1 "$familiar_log")"
echo '# by the owner' >>/etc/familiar/familiar.toml
sums >/run/sums

said dpkg --install /run/given/newer.deb
sums | cmp -s - /run/sums || wrong "the upgrade changed key, configuration or gallery"
[ ! -e /opt/familiar-edge/current/lib/only-in-the-older ] || wrong "a file of the older version is still there"
said familiar people list
grep -q Ash "$familiar_log" || wrong "people list after the upgrade: $(cat "$familiar_log")"
step "upgraded to $(dpkg-query -W -f '${Version}' familiar-edge): key, configuration and gallery are the same bytes"

said dpkg --remove familiar-edge
sums | cmp -s - /run/sums || wrong "the removal changed key, configuration or gallery"
[ ! -e /opt/familiar-edge ] || wrong "the removal left $(find /opt/familiar-edge | head -n 3 | tr '\n' ' ')"
step "removed: key, configuration and gallery are the same bytes, the program is gone"
said dpkg --install /run/given/newer.deb
sums | cmp -s - /run/sums || wrong "installing again changed key, configuration or gallery"
step "installed again: the same bytes"
said dpkg --purge familiar-edge
listed >/run/after
comm -13 /run/before /run/after >/run/left
[ ! -s /run/left ] || wrong "the purge left $(head -n 5 /run/left | tr '\n' ' ')"
accounts | cmp -s - /run/accounts || wrong "the purge left an account"
step "purged: $(wc -l </run/after) paths, none that was not there before the first installation, and no account"
