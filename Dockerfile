# The image for Cloud Run or any other place that runs containers. It has two stages; the second adds one file, the program.
#
# Both base images are named by tag. To pin them, replace each tag by its digest
# (docker buildx imagetools inspect IMAGE prints it), and update it with each security update.

# The base image of the second stage. .ci/image replaces it, so that it needs no image registry.
ARG RUNTIME=gcr.io/distroless/cc-debian13:nonroot

# Debian 13, as in the last stage: the C library there must not be older than the one the binary is linked with.
# The compiler's version is the one in rust-toolchain.toml.
FROM rust:1.95-trixie AS build
WORKDIR /src

# First the dependencies, with an empty program: this layer is built again only when they change.
# Each bench that Cargo.toml names must exist, so it gets an empty file too.
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

# Then the program. Cargo compares file times, and those of the checkout may be older than those of the empty files: hence
# touch. Cargo.toml strips the binary.
COPY . .
# What `plaudit --version` names beside the version, since the context has no .git:
#   docker build --build-arg PLAUDIT_COMMIT="$(git log -1 --abbrev=12 --format='%h %cs')" .
ARG PLAUDIT_COMMIT=""
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin plaudit

# Only the C library, the certificates of the public authorities, and the program. No shell; the user is not root.
# checkov:skip=CKV_DOCKER_7:The tag is in RUNTIME, above.
# checkov:skip=CKV_DOCKER_2:Cloud Run requests /healthz itself and ignores HEALTHCHECK; the image has no shell for one.
# hadolint ignore=DL3006
FROM ${RUNTIME} AS runtime
COPY --from=build /src/target/release/plaudit /usr/local/bin/plaudit
USER 65532:65532

# Cloud Run sets PORT itself. It is set here too, so that `docker run -p 8080:8080` reaches the program:
# with PORT the program listens on all addresses, without it on loopback only.
ENV PORT=8080
# glibc returns the memory of large bodies to the system at once. Without it, 200 bodies of 25 MiB at once peaked at
# 304 MiB instead of 169.
ENV MALLOC_MMAP_THRESHOLD_=1048576
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/plaudit"]
