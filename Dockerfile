# syntax=docker/dockerfile:1
# A node, and vault-admin beside it, on an image without a shell and without root.
#
# Not built by the tests: there is no Docker daemon where they run. tests/EventVault.Node.Tests checks that the node knows each of its options and variables,
# and tools/package/check.py runs the script that makes its content, and the content.
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
WORKDIR /src
COPY . .
RUN tools/package/publish.sh /out && mkdir /out/vault

# What a self-contained program needs of a system, with the user `app`, 1654.
FROM mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled
COPY --from=build /out/eventvault /out/vault-admin /usr/local/bin/
COPY --from=build --chown=1654:1654 --chmod=700 /out/vault /var/lib/eventvault
ENV EVENTVAULT_DATA=/var/lib/eventvault
USER 1654:1654
VOLUME ["/var/lib/eventvault"]
# gRPC, HTTP, other nodes.
EXPOSE 7400 7401 7402
# A stop in order finishes what runs and hands leadership over: give it time, docker stop --time 90.
STOPSIGNAL SIGTERM
# Whether it lives: not ready is no reason to stop a container, it may wait for other nodes. Under TLS, or with another HTTP port, by variables, with files that
# are mounted: EVENTVAULT_HTTP=https://localhost:7401, EVENTVAULT_AUTHORITY=/etc/eventvault/authority.pem; the certificate has to name localhost, too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/vault-admin", "health", "--live"]
ENTRYPOINT ["/usr/local/bin/eventvault"]
