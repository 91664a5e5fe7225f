# Two images from one build:
#
#   docker build .                     trellis: the one binary and what it needs to run, without a shell
#   docker build --target toolbox .    the same binary with a shell, the scripts in docker/ and the examples' actors:
#                                      what docker-compose.yml sets a lattice up with
#
# BuildKit is needed (every Docker since 23 has it on; before, set DOCKER_BUILDKIT=1): it keeps crates and compiled
# dependencies between builds, outside of the images.

# The host's compiler; rust-toolchain.toml names the same one.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .

# One cache for both workspaces' compiled crates, so only one of the stages below writes there at a time.
FROM build AS binary
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --workspace --bin trellis \
    && install -D --strip target/release/trellis /out/trellis \
    # Owned by who runs it: a volume that is mounted over an empty folder of an image takes its owner.
    && install -d -m 0700 -o 65532 -g 65532 /out/state

# Actors, unsigned: who runs a lattice signs them. Where rustup has nowhere to download from, xtask takes Debian's compiler.
FROM build AS actors
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    { rustup target add wasm32-wasip2 || true; } \
    && cargo xtask guests \
    && cd target/actors \
    && install -D -m 0644 -t /out/actors http_hello.wasm http_counter.wasm http_caller.wasm greeter.wasm echo_messaging.wasm

FROM debian:bookworm-slim AS toolbox
COPY --from=binary /out/trellis /usr/local/bin/trellis
COPY --from=actors /out/actors /trellis/actors
COPY examples /trellis/examples
COPY docker /trellis/docker
# Every folder that a volume is mounted over, owned by who writes there.
RUN install -d -m 0700 -o 65532 -g 65532 /lattice /lattice/operator /lattice/hub /lattice/fra /lattice/iad /lattice/sin \
    /lattice/wadm /lattice/host-core /lattice/host-fra /lattice/host-iad /lattice/host-sin /trellis/target/actors
USER 65532:65532
WORKDIR /trellis
ENV TRELLIS_STATE_DIR=/lattice/operator
ENTRYPOINT ["trellis"]

# No shell, no package manager, and a user without a name in it: uid 65532 is this base's `nonroot`.
FROM gcr.io/distroless/cc-debian12:nonroot AS trellis
COPY --from=binary /out/trellis /usr/local/bin/trellis
COPY --from=binary --chown=65532:65532 /out/state /var/lib/trellis
USER 65532:65532
WORKDIR /var/lib/trellis
# Keys, compiled components, unpacked providers: mount a volume here to keep them.
ENV TRELLIS_STATE_DIR=/var/lib/trellis
ENTRYPOINT ["trellis"]
