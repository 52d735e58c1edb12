#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../lib/common.sh"
need kcat kcat
need python3 python3
if ! command -v rsyslogd > /dev/null || ! dpkg -s rsyslog-kafka > /dev/null 2>&1; then
  # Where systemd runs, the package would start a service, which nobody asked for.
  [ ! -d /run/systemd/system ] || die "missing: apt-get install rsyslog rsyslog-kafka"
  apt_install --no-install-recommends rsyslog rsyslog-kafka
fi
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../lib exec python3 "$here/compat.py"
