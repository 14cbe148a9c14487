# The program of the fault runs that are run once per item: "NUMBER SECONDS".
set -- $1
sleep "$2"
echo "done $1"
