#!/bin/sh
# Puts packages of the workspace, and what they need to run, into a folder: packages/…/src as they lie here, because
# Node strips types from our own files but not inside node_modules. Runs in the build stage of the images, in the
# workspace's folder, where it leaves only what it has installed: assemble.sh /app @orders/order-api @orders/ordersctl
set -eu
export TO="$1"
shift
selected=
for name; do selected="$selected --filter-prod=$name..."; done # with its dependencies, but not those of development
export PNPM_CONFIG_VERIFY_DEPS_BEFORE_RUN=false # what is installed by the next line is all that is wanted

# Our libraries have peers (kysely, a Kafka client) that their importer brings: found from anywhere below it.
pnpm $selected install --frozen-lockfile --prod --shamefully-hoist
export WORKSPACE="$PWD"
pnpm $selected exec sh -c '
  to=$TO/${PWD#"$WORKSPACE"/}
  mkdir -p "$to"
  cp -a package.json src "$to"
  if [ -d node_modules ]; then cp -a node_modules "$to"; fi
  rm -rf "$to"/src/testing "$to"/src/testing.ts'
cp -a package.json node_modules "$TO"
find "$TO" -name .bin -prune -exec rm -r {} + # shell scripts, for which there is no shell
rm -rf "$TO"/node_modules/.pnpm-* "$TO"/node_modules/.modules.yaml # pnpm's notes about this very installation

# On PATH, and also what the entry point `node` finds when it is told to run `ordersctl`.
if [ -d "$TO"/packages/ordersctl ]; then
  printf '#!/nodejs/bin/node\nimport "./packages/ordersctl/src/main.ts";\n' >"$TO"/ordersctl
  chmod 755 "$TO"/ordersctl
fi
