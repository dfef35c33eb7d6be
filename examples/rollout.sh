#!/bin/bash
# A model goes into service if its verdict allows it, and is taken back if it does not work there.
#
#   bash rollout.sh CKPT EVIDENCE POLICY [HEALTH…]       bash rollout.sh --back
#
# $RELEASES (releases/) has a folder for every model that was let through, by the digest of its files, and the link
# `current`, which is what the service reads. HEALTH is a command that ends with 0 while the service works; where it
# ends otherwise, `current` is what it was. --back takes the model of before. Exit codes are those of `mlmguard gate`
# (10 fail, 3 too little evidence) and `mlmguard verify`; 1 where the service did not work. Nothing moves before both.
set -euo pipefail

releases=${RELEASES:-releases}

serve() { # in one step: whoever opens `current` sees one model or the other
  ln -sfn "$1" "$releases/.next" && mv -T "$releases/.next" "$releases/current"
}

if [[ ${1:?CKPT, or --back} == --back ]]; then
  before=$(readlink "$releases/previous") || { echo "rollout: no model served before" >&2; exit 1; }
  serve "$before"
  echo "rollout: $before serves again"
  exit
fi

ckpt=$1 evidence=${2:?EVIDENCE} policy=${3:?POLICY}
shift 3

mlmguard gate "$evidence" --policy "$policy" --quiet

mkdir -p "$releases"
coming=$(mktemp -d "$releases/.coming.XXXXXX")
trap 'rm -rf "$coming"' EXIT
cp -rL "$ckpt" "$coming/model"
# of the copy: what was judged is what will serve
mlmguard verify "$coming/model" --evidence "$evidence" >"$coming/verified" 2>&1 || { code=$?; cat "$coming/verified" >&2; exit $code; }

name=$(cd "$coming/model" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
if [[ ! -d $releases/$name ]]; then
  mv "$coming/model" "$releases/$name"
elif ! diff -rq "$coming/model" "$releases/$name" >&2; then # let through before, and changed since
  echo "rollout: $releases/$name is not what was verified: remove it, or find out who changed it" >&2
  exit 1
fi

before=$(readlink "$releases/current") || before=
serve "$name"
if (($#)) && ! "$@"; then
  if [[ $before ]]; then serve "$before"; else rm "$releases/current"; fi
  echo "rollout: $name did not work and was taken back: ${before:-nothing} serves" >&2
  exit 1
fi
[[ -z $before || $before == "$name" ]] || ln -sfn "$before" "$releases/previous"
echo "rollout: $name serves"
