"""Flow matching (Lipman et al. 2023) and rectified flow (Liu et al. 2023), solved with Euler's or Heun's method."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from tui_gen.model import Batch, DataSpec, Function, Input, Loss, Optim, Phase, alike, batch_rows, hyper
from tui_gen.models.alarms.diffusion import QUARTERS
from tui_gen.models.looks.sample_distance import standardised_sliced_wasserstein
from tui_gen.models.nets.diffusing import strata
from tui_gen.models.nets.guidance import Guided, by_time, guided

Field = Callable[[Tensor, float], Tensor]
"""(x (N, …), t in [0, 1]) → dx/dt, of the shape of x."""
MOST_PATHS = 64
"""Most images of a validation batch whose paths are measured: each takes STRAIGHT_STEPS predictions."""
STRAIGHT_STEPS = 8
TIME_SCALE = 1000.0
"""The network's time codes were made for times from 0 to about 1000; a flow's go from 0 to 1."""


class FlowMatching(Guided):
    name = "flow-matching"
    family = "diffusion"
    title = "Flow matching"
    summary = "Learns the velocity that carries noise along straight lines to images."
    reference = (
        "Lipman et al. 2023, Flow Matching for Generative Modeling, arXiv:2210.02747; rectified flow: Liu, Gong & Liu "
        "2023, arXiv:2209.03003; logit-normal times: Esser et al. 2024, arXiv:2403.03206"
    )
    optimizers = {"flow-matching": Optim(lr=1e-3)}
    arithmetic = ("sigma_min",)
    judged = ("sliced_wasserstein", "loss")
    together = (QUARTERS,)

    class Config(Guided.Config):
        RARE = ("sigma_min", "times")
        WHEN = {"reflow_steps": "reflow_after"}
        sigma_min: Annotated[
            float, hyper("Noise left where lines end; 0 is rectified flow", ge=0, le=0.5, live=True)
        ] = 0.0
        times: Annotated[
            Literal["uniform", "logit-normal"], hyper("Which times are trained: all alike, or more in the middle")
        ] = "uniform"
        reflow_after: Annotated[
            int, hyper("Rectify the flow from this step on; 0 is never", ge=0, le=100_000_000, unit="steps")
        ] = 0
        reflow_steps: Annotated[
            int, hyper("Heun steps that pair noise with samples for reflow", ge=1, le=1000, unit="steps")
        ] = 10
        sampler: Annotated[Literal["euler", "heun"], hyper("One or two predictions a step", live=True)] = "heun"
        sample_steps: Annotated[int, hyper("Steps from noise to sample", ge=1, le=10_000, unit="steps", live=True)] = 20

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        self.teacher = copy.deepcopy(self.network).requires_grad_(False) if config.reflow_after else None
        self.compiles = self.teacher is None and self.compiles

    def phases(self) -> list[Phase]:
        return [Phase("flow-matching", self.loss, self.network.parameters(), before=self.keep_copy)]

    def keep_copy(self, batch: Batch) -> None:
        """Where reflow begins, the network as it is becomes the one that pairs noise with samples from now on."""
        if self.teacher is not None and batch.step == self.config.reflow_after:
            self.teacher.load_state_dict(self.network.state_dict())

    def loss(self, batch: Batch) -> Loss:
        """Conditional flow matching (equation 23 of Lipman et al.), and its part from each quarter of the times."""
        noise, x = self.pairs(batch)
        places, total = strata(len(x), x.device)
        time = places / total
        if self.config.times == "logit-normal":
            time = torch.special.ndtri(time).sigmoid()
        start = (1 - self.config.sigma_min) * noise
        place = time.view(len(x), *[1] * (x.dim() - 1))
        between = noise + place * (x - start)
        off = self.network(between, TIME_SCALE * time, self.with_dropped_labels(batch.labels)) - (x - start)
        errors = off.square().flatten(1).mean(1)
        return errors.mean(), by_time(errors) if self.config.times == "uniform" else {}

    def pairs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Where the lines begin and end, each (N, *data.shape): independent, or with reflow a noise and its sample."""
        noise = torch.randn_like(batch.x)
        if self.teacher is None or batch.step < self.config.reflow_after:
            return noise, batch.x
        with torch.no_grad():
            # In the step where reflow begins the two are the same; validation may come before the copy is made.
            begins = batch.step == self.config.reflow_after
            field = self.velocity(self.network if begins else self.teacher, batch.labels)
            return noise, solve(field, noise, self.config.reflow_steps, "heun")[-1]

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the straightness of paths, and the distance of their ends from real examples.

        Straightness is that of Liu et al.: the mean square of (x₁ − x₀) − v over a path and its pixels. The distance is
        that of samples of few Euler steps.
        """
        metrics = super().validation(batch)
        x, labels = batch_rows(batch.x), None if batch.labels is None else batch_rows(batch.labels)
        count = MOST_PATHS if self.data.kind == "image" else len(x)
        with alike():  # they are few, and compared with each other
            some = torch.randperm(len(x), device=x.device)[:count]
            field = self.velocity(self.network, None if labels is None else labels[some])
            path = solve(field, torch.randn_like(x[:count]), STRAIGHT_STEPS, "euler")
            bend = (path[-1] - path[0]) - STRAIGHT_STEPS * path.diff(dim=0)
            return metrics | {
                f"{self.name}/straightness": bend.square().mean(),
                f"{self.name}/sliced_wasserstein": standardised_sliced_wasserstein(path[-1], x[some]),
            }

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (N, *data.shape) → examples (N, *data.shape); images in [-1, 1]."""
        return self.trajectory(noise, labels, frames=1)[0]

    def trajectory(self, noise: Tensor, labels: Tensor | None = None, frames: int = 8) -> Tensor:
        """The way from noise to sample: (frames, N, *data.shape), the noise first, the sample last."""
        steps = self.config.sample_steps
        keep = [steps] if frames == 1 else [round(index * steps / (frames - 1)) for index in range(frames)]
        field = self.velocity(self.network, labels, self.strength)
        path = solve(field, noise, steps, self.config.sampler, keep)
        if self.data.kind == "image":
            path[-1].clamp_(-1, 1)
        return path

    def functions(self) -> list[Function]:
        """The field that `sample` follows."""

        def call(x: Tensor, time: Tensor, *labels: Tensor) -> Tensor:
            label = labels[0] if labels else None
            return guided(self.network, x, TIME_SCALE * time, label, self.strength, self.unlabelled)

        inputs = {"x": Input(self.noise_shape), "time": Input(()), **self.label_inputs()}
        words = "dx/dt at times from 0, noise, to 1: one Euler step is x + velocity / steps"
        facts = {"steps": self.config.sample_steps, "sampler": self.config.sampler}
        return [Function("velocity", call, inputs, ("velocity",), words, facts)]

    def velocity(self, network: nn.Module, labels: Tensor | None, scale: float = 1.0) -> Field:
        """A network's field: (x (N, *data.shape), t in [0, 1]) → dx/dt, for these labels and this guidance."""

        def field(x: Tensor, time: float) -> Tensor:
            times = torch.full((len(x),), TIME_SCALE * time, device=x.device)
            return guided(network, x, times, labels, scale, self.unlabelled)

        return field


def euler_step(field: Field, x: Tensor, step: int, steps: int) -> Tensor:
    """x' = x + h · v(x, t), with h = 1 / steps and t = step · h: of the first order."""
    return x + field(x, step / steps) / steps


def heun_step(field: Field, x: Tensor, step: int, steps: int) -> Tensor:
    """x' = x + h · ½ (v(x, t) + v(x + h · v(x, t), t + h)): of the second order."""
    slope = field(x, step / steps)
    return x + (slope + field(x + slope / steps, (step + 1) / steps)) / 2 / steps


def solve(field: Field, x: Tensor, steps: int, method: str, keep: list[int] | None = None) -> Tensor:
    """Follow dx/dt = field(x, t) from x (N, …) at t = 0 to t = 1 in equal steps of `euler` or `heun`.

    Returns the states after `keep` steps, (len(keep), N, …), or all of them with x first, (steps + 1, N, …).
    """
    states, follow = {0: x}, {"euler": euler_step, "heun": heun_step}[method]
    for step in range(steps):
        x = follow(field, x, step, steps)
        if keep is None or step + 1 in keep:
            states[step + 1] = x
    return torch.stack([states[step] for step in keep or range(steps + 1)])
