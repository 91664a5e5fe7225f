#!/bin/sh
# Deploys what runs in docker-compose.yml's lattice. What runs there already stays as it is.
set -eu
for app in examples/pops/app.yaml docker/visits.yaml; do
    trellis app deploy "$app"
done
