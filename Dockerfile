# LearnGN with PyTorch for the CPU:
#   docker build -t learngn .
#   docker run --rm learngn                                     # the demo: two synthetic abdomens
#   docker run --rm --user "$(id -u)" -v "$PWD:/data" learngn register fixed.nii.gz moving.nii.gz -o result
FROM python:3.11-slim AS build

WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /opt/learngn \
    && torch=$(grep '^torch==' constraints.txt) \
    && /opt/learngn/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
        --extra-index-url https://pypi.org/simple -c constraints.txt "$torch+cpu" \
    && /opt/learngn/bin/pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
        -c constraints.txt ".[torch]"

FROM python:3.11-slim

LABEL org.opencontainers.image.title="LearnGN" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/learngn /opt/learngn
RUN useradd --uid 1000 --create-home learngn && mkdir /data /cache && chown 1000 /data && chmod 1777 /cache
# Compiled kernels are kept here, whichever user runs.
ENV PATH=/opt/learngn/bin:$PATH NUMBA_CACHE_DIR=/cache HOME=/home/learngn
USER 1000
# For this processor; another one compiles its own at its first run.
RUN learngn warm && chmod -R a+rwX /cache/*
WORKDIR /data
ENTRYPOINT ["learngn"]
CMD ["demo"]
