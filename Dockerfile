# retrieval-bench on processors: `docker build -t retrieval-bench .`, then
# `docker run --rm -v "$PWD:/data" retrieval-bench run --methods knn,protonet --data digits`.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
# Links of bench/ to its neighbours are followed by the build, so that the wheel holds files alone.
COPY pyproject.toml README.md LICENSE ./
COPY bench bench
COPY methods methods
COPY scenarios scenarios
COPY reports reports
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:${PYTHON}-slim
# The index of torch's builds for processors, if the usual one brings CUDA, which takes gigabytes more.
ARG TORCH_INDEX=""
ARG EXTRAS="onnx,serve,share"
COPY constraints.txt /tmp/constraints.txt
RUN grep -E '^torch(vision)?==' /tmp/constraints.txt > /tmp/torch.txt \
    && python -m pip install --no-cache-dir ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} --requirement /tmp/torch.txt
COPY --from=wheel /wheel /tmp/wheel
RUN python -m pip install --no-cache-dir --constraint /tmp/constraints.txt "$(ls /tmp/wheel/*.whl)[${EXTRAS}]" \
    && rm -rf /tmp/wheel /tmp/constraints.txt /tmp/torch.txt \
    && useradd --create-home --uid 1000 bench && install --directory --owner bench /data
USER bench
WORKDIR /data
ENV BENCH_CACHE=/data/.cache
ENTRYPOINT ["bench"]
CMD ["--help"]
