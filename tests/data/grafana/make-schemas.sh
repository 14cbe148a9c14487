#!/bin/sh
# JSON Schemas of Grafana's dashboards, from the types in npm's @grafana/schema (Apache-2.0). Needs node and npm:
#   tests/data/grafana/make-schemas.sh [version of @grafana/schema]
set -eu
version=${1:-11.6.0}
target=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts "@grafana/schema@$version" ts-json-schema-generator@2.10.0 >/dev/null
raw=node_modules/@grafana/schema/dist/esm/raw
schema() {
    npx ts-json-schema-generator --path "$raw/$2" --type "$3" --no-type-check --minify -o "$target/$1.json"
}
schema dashboard dashboard/x/dashboard_types.gen.d.ts Dashboard
for panel in timeseries:TimeSeries stat:Stat table:Table; do
    types=composable/${panel%%:*}/panelcfg/x/${panel##*:}PanelCfg_types.gen.d.ts
    schema "${panel%%:*}-options" "$types" Options
    case $panel in stat:*) ;; *) schema "${panel%%:*}-custom" "$types" FieldConfig ;; esac
done
