# plaudit for Cloud Run or any other place that runs containers: two stages, the second holds one file of ours.
#
# Both base images are named by tag. To pin them, replace each tag by its digest
# (docker buildx imagetools inspect IMAGE prints it), and renew it with each security update.

# What the program runs on. .ci/image puts a stand-in here, so that it needs no image registry.
ARG RUNTIME=gcr.io/distroless/cc-debian13:nonroot

# Debian 13, as in the last stage: a binary must not meet an older C library than it was linked with.
FROM rust:1.95-trixie AS build
WORKDIR /src

# The dependencies first, with an empty program around them: this layer is made again only when they change.
# A bench that Cargo.toml names must exist, so it gets a stub too.
COPY Cargo.toml Cargo.lock ./
# hadolint ignore=SC2013
RUN mkdir -p src benches \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && for bench in $(sed -n '/^\[\[bench\]\]/,/^$/s/^name *= *"\(.*\)"/\1/p' Cargo.toml); do \
         echo 'fn main() {}' > "benches/$bench.rs"; \
       done \
    && cargo build --release --locked --bin plaudit \
    && rm -r src benches

# Then the program. Cargo goes by file times, and those of the checkout may be older than the stubs': hence touch.
# It comes out stripped, as Cargo.toml says.
COPY . .
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin plaudit

# Nothing but the C library, the certificates of the public authorities, and the program; no shell, and not root.
# checkov:skip=CKV_DOCKER_7:The tag stands in RUNTIME, above.
# checkov:skip=CKV_DOCKER_2:Cloud Run asks /healthz itself and ignores HEALTHCHECK; there is no shell in the image to ask with.
# hadolint ignore=DL3006
FROM ${RUNTIME} AS runtime
COPY --from=build /src/target/release/plaudit /usr/local/bin/plaudit
USER 65532:65532

# Cloud Run sets PORT itself. Set here too, so that `docker run -p 8080:8080` reaches the program:
# with PORT it listens on all addresses, without it on loopback only.
ENV PORT=8080
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/plaudit"]
