# The function's image: one static binary on an empty file system, for linux/amd64 and linux/arm64.
#
#   docker build --tag localhost/inject-ephemeral-access-plugin:0.1.0 .
#
# Both BuildKit and the classic builder of Docker 20.10 build it, so it has no syntax line and no cache mounts. For
# another architecture than the build machine's, BuildKit is needed: `docker build --platform linux/arm64 .`, or
# `.ci/images` for all images and both architectures.

# Any image with rustup, a C linker for the build machine, and the toolchain that rust-toolchain.toml names.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm

# The compiler runs on the build machine's platform, whatever the target is. "linux" alone means the same to a
# builder that leaves BUILDPLATFORM empty.
FROM --platform=${BUILDPLATFORM:-linux} ${RUST_IMAGE} AS build

# rust-lld comes with the toolchain and links both targets, so no C cross compiler is needed.
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld

WORKDIR /build
ARG TARGETARCH
RUN case "${TARGETARCH:-$(uname -m)}" in \
      amd64 | x86_64) echo x86_64-unknown-linux-musl ;; \
      arm64 | aarch64) echo aarch64-unknown-linux-musl ;; \
      *) echo "error: TARGETARCH must be amd64 or arm64, got \"${TARGETARCH:-$(uname -m)}\"" >&2; exit 1 ;; \
    esac > target \
 && rustup target add "$(cat target)"

# What the final image holds besides the binary: orchestrators run it as `--user nobody`, a name that must resolve.
RUN mkdir -p rootfs/etc \
 && echo 'nobody:x:65534:65534:nobody:/:/' > rootfs/etc/passwd

COPY . source
RUN cd source \
 && cargo build --release --locked --target "$(cat ../target)" --bin inject-ephemeral-access-plugin \
 && install -m 0555 "target/$(cat ../target)/release/inject-ephemeral-access-plugin" ../rootfs/ \
 && rm -r target


FROM scratch

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="inject-ephemeral-access-plugin" \
      org.opencontainers.image.description="KRM function that injects an EphemeralAccess plugin into the Argo CD EphemeralAccess controller Deployment" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/ephemeral-access-dev/inject-ephemeral-access-plugin" \
      org.opencontainers.image.version="${VERSION}"

COPY --from=build /build/rootfs/ /
USER 65534:65534
ENTRYPOINT ["/inject-ephemeral-access-plugin"]
