#!/bin/sh
# Writes the secrets that an overlay is built with; what is there already stays.
#   k8s/make-secrets.sh kind
#   k8s/make-secrets.sh production rediss://user:password@redis.example.com:6380/0
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
        printf 'REDIS_PASSWORD=%s\n' "$password" > "$directory/redis.env"
        url=redis://:$password@redis.asperathos.svc:6379/0
        ;;
    *) url=${2:?the address of your Redis, as services and pods reach it} ;;
esac
printf 'ASPERATHOS_REDIS_URL=%s\nASPERATHOS_SERVICE_TOKEN=%s\n' "$url" "$(random)" > "$directory/secrets.env"
echo "wrote $directory/secrets.env" >&2
