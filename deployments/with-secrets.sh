#!/bin/sh
# Run a command with the secrets of the container as variables: /run/secrets/NAME becomes NAME, and @NAME@ in a variable
# becomes its value, for addresses that hold a password. No secret is an argument, so no list of processes shows one.
set -eu
for file in "${SECRETS:-/run/secrets}"/*; do
    [ -f "$file" ] || continue
    name=${file##*/}
    value=$(cat "$file")
    export "$name=$value"
done
for name in PREFECT_SERVER_DATABASE_CONNECTION_URL PREFECT_REDIS_MESSAGING_URL PREFECT_SERVER_DOCKET_URL; do
    eval "template=\${$name-}"
    case $template in
    *@*@*)
        before=${template%%@*}
        rest=${template#*@}
        secret=${rest%%@*}
        eval "value=\${$secret}"
        export "$name=$before$value${rest#*@}"
        ;;
    esac
done
exec "$@"
