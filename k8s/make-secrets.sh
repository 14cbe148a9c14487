#!/bin/sh
# Writes the secrets that an overlay is built with; what is there already stays.
#   k8s/make-secrets.sh kind
#   INFLUX_TOKEN=... GRAFANA_TOKEN=... k8s/make-secrets.sh production rediss://user:password@redis.example.com:6380/0
set -eu
umask 077
overlay=${1:?kind or production}
directory=$(dirname "$0")/overlays/$overlay
[ -d "$directory" ] || { echo "no overlay $overlay" >&2; exit 2; }
if [ -e "$directory/secrets.env" ]; then
    echo "$directory/secrets.env is there already" >&2
    exit 0
fi
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
case $overlay in
    kind)
        password=$(random)
        influx=$(random)
        printf 'REDIS_PASSWORD=%s\n' "$password" > "$directory/redis.env"
        printf 'INFLUXDB_TOKEN=%s\nINFLUXDB_PASSWORD=%s\n' "$influx" "$(random)" > "$directory/influxdb.env"
        printf 'GRAFANA_PASSWORD=%s\n' "$(random)" > "$directory/grafana.env"
        url=redis://:$password@redis.asperathos.svc:6379/0
        ;;
    *)
        url=${2:?the address of your Redis, as services and pods reach it}
        influx=${INFLUX_TOKEN:?set it to a token of your InfluxDB that may write and read the bucket}
        printf 'ASPERATHOS_GRAFANA_TOKEN=%s\n' \
            "${GRAFANA_TOKEN:?set it to the token of an editor in your Grafana}" > "$directory/grafana.env"
        ;;
esac
printf 'ASPERATHOS_REDIS_URL=%s\nASPERATHOS_SERVICE_TOKEN=%s\nASPERATHOS_INFLUX_TOKEN=%s\n' \
    "$url" "$(random)" "$influx" > "$directory/secrets.env"
# To make the first users with, and for Prometheus.
printf 'ASPERATHOS_ADMIN_TOKEN=%s\nASPERATHOS_METRICS_TOKEN=%s\n' "$(random)" "$(random)" >> "$directory/secrets.env"
echo "wrote $directory/secrets.env" >&2
