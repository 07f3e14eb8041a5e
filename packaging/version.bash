# Sourced by what makes artefacts: what they say of themselves.

version=${EVERCERT_VERSION:-$(sed -n '/^\[workspace.package\]/,/^$/ s/^version = "\(.*\)"$/\1/p' Cargo.toml)}
licenses=$(sed -n '/^\[workspace.package\]/,/^$/ s/^license = "\(.*\)"$/\1/p' Cargo.toml)
description=$(sed -n 's/^description = "\(.*\)"$/\1/p' daemon/Cargo.toml)
revision=$(git rev-parse HEAD)
# What is built of changes that are in no commit does not go by the commit's name.
git diff --quiet HEAD || revision=$revision-changed
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
