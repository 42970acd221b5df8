# tui-gen in a container; docs/container.md has the commands. Two build arguments for PyTorch:
#
#   TORCH_INDEX  an index of PyTorch's own, as its installation page names it: that of its CPU wheels makes a small
#                image. Without one the default wheels come, which on x86 bring CUDA along and train on CPUs as well.
#   PACKAGES     packages of the distribution: "g++" lets torch.compile work, "tmux" is handy for docker exec.
#
# Nothing else of CUDA is needed in here: its libraries come with PyTorch, the driver with `docker run --gpus all`.

FROM python:3.12-slim AS wheel
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM python:3.12-slim
ARG PACKAGES=""
RUN if [ -n "$PACKAGES" ]; then \
      apt-get update && apt-get install -y --no-install-recommends $PACKAGES && rm -rf /var/lib/apt/lists/*; \
    fi
COPY constraints.txt /wheels/
ARG TORCH_INDEX=""
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
      torch torchvision
ARG EXTRAS="gpu"
COPY --from=wheel /wheels /wheels
RUN wheel=$(echo /wheels/*.whl) && pip install --no-cache-dir --constraint /wheels/constraints.txt "${wheel}[$EXTRAS]"

# Anybody may be the user (docker run --user): home and runs can be written by all.
RUN useradd --uid 1000 --create-home trainer && mkdir /runs && chmod 1777 /home/trainer /runs
ENV HOME=/home/trainer USER=trainer LANG=C.UTF-8 TUI_GEN_RUNS=/runs \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER trainer
WORKDIR /home/trainer
VOLUME /runs

# Process 1 is tui-gen itself: it hands signals on, collects orphans, and stays until the last run has ended.
ENTRYPOINT ["tui-gen"]
