#!/bin/sh
# A worker for images without Python: takes one item after the other from the manager, over HTTP. Needs sh and curl.
#
# $HANDLE is run by sh once per item. It gets the item on standard input; what it prints is the result; another exit code
# than 0 fails the attempt, with its standard error as the reason.
#
# On SIGTERM the item in hand goes back unharmed and the exit code is 143. 0: nothing is left to do. 75: the manager
# stayed away. 77: it refuses us.
set -u
: "${ASPERATHOS_ITEMS_URL:?is set in pods of Asperathos}" "${ASPERATHOS_ITEMS_TOKEN:?is set in pods of Asperathos}"
: "${HANDLE:?names the command that handles one item}"

umask 077
dir=${TMPDIR:-/tmp}/http-worker.$$
mkdir "$dir" || exit 70
trap 'rm -rf "$dir"' EXIT
# In a file, for command lines are no place for secrets.
printf 'Authorization: Bearer %s\nAccept: text/plain\n' "$ASPERATHOS_ITEMS_TOKEN" > "$dir/headers"
me="worker=${POD_NAME:-$(hostname)}&index=${JOB_COMPLETION_INDEX:-0}"

work='' stopping='' more=''
# Only noted, so that no item is taken or finished without our knowing it; a handler that runs is ended at once.
trap 'stopping=yes; [ -z "$work" ] || kill "$work" 2> /dev/null' TERM INT

# post WHAT QUERY [curl's options]: prints the HTTP status (000: no answer); the answer is in $dir/WHAT.
post() {
    what=$1 query=$2
    shift 2
    curl --silent --request POST --max-time 60 --header "@$dir/headers" --output "$dir/$what" --write-out '%{http_code}' \
        "$@" "$ASPERATHOS_ITEMS_URL/$what?$me$query"
}

# say WHAT [curl's options]: tells what became of the item in hand, and again while the manager is away: that harms
# nothing. 409 means that the item is somebody else's by now; there is nothing to be done about it.
say() {
    what=$1
    shift
    tries=0
    while status=$(post "$what" "&id=$id&attempt=$attempt$more" "$@"); [ "$status" = 503 ] || [ "$status" = 000 ]; do
        tries=$((tries + 1))
        [ "$tries" -le 10 ] || exit 75
        sleep 1
    done
    [ "$status" = 200 ] || echo "$what of item $id: $status" >&2
}

# keep: extends the lease of the item in hand while the handler runs, and ends the handler when the lease is lost.
# It ends with the file $dir/held, too: a signal that reaches it before its trap is set is lost.
keep() {
    nap=''
    trap '[ -z "$nap" ] || kill "$nap"; exit' TERM
    while [ -e "$dir/held" ]; do
        sleep $((lease > 3 ? lease / 3 : 1)) &
        nap=$!
        wait "$nap"
        [ -e "$dir/held" ] || break
        [ "$(post extend "&id=$id&attempt=$attempt")" != 409 ] || kill "$work"
    done
}

misses=0
while [ -z "$stopping" ]; do
    case $(post claim '&wait=10') in
        200) misses=0 ;;
        000 | 429 | 5??)
            misses=$((misses + 1))
            [ "$misses" -le 60 ] || exit 75
            sleep 1
            continue
            ;;
        *)
            cat "$dir/claim" >&2
            exit 77
            ;;
    esac
    # The first line is for us, the rest is the item as it is.
    { read -r verdict attempt lease id && cat > "$dir/item"; } < "$dir/claim"
    case $verdict in
        items) ;;
        over | stopped) exit 0 ;;
        *)
            sleep 1
            continue
            ;;
    esac
    if [ -z "$stopping" ]; then
        sh -c "$HANDLE" < "$dir/item" > "$dir/result" 2> "$dir/error" &
        work=$!
        [ -z "$stopping" ] || kill "$work"
        : > "$dir/held"
        keep &
        keeper=$!
        wait "$work"
        code=$?
        rm -f "$dir/held"
        kill "$keeper" 2> /dev/null
        wait "$keeper"
    fi
    if [ -n "$stopping" ]; then
        say release
    elif [ "$code" = 0 ]; then
        say complete --data-binary "@$dir/result"
        if [ "$status" = 413 ]; then
            # Another attempt would bring as much again.
            { echo "the result of $(($(wc -c < "$dir/result"))) bytes is refused:" && cat "$dir/complete"; } > "$dir/error"
            more='&permanent=true'
            say fail --data-binary "@$dir/error"
            more=''
        fi
    else
        echo "exit code $code" >> "$dir/error"
        say fail --data-binary "@$dir/error"
    fi
    work=''
done
exit 143
