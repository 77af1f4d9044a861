# One static binary on an empty image. Training images take it from here:
#   COPY --from=procguard /procguard /usr/local/bin/procguard
ARG BUILD_IMAGE=golang:1.26-bookworm
FROM ${BUILD_IMAGE} AS build

# libzmq and the modules come first: they change less often than the code, and docker keeps their layer.
COPY build/common.sh build/libzmq.sh go.mod go.sum /first/
RUN cd /first && export PROCGUARD_CACHE=/var/cache/procguard && ./libzmq.sh && go mod download

COPY . /src/
ARG VERSION=dev
ARG COMMIT=unknown
RUN export PROCGUARD_CACHE=/var/cache/procguard && cd /src && build/binary.sh /procguard

FROM scratch
COPY LICENSE NOTICE /licenses/
COPY --from=build /procguard /procguard
ENTRYPOINT ["/procguard"]
