"""Recurrent networks that write text, one character after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tui_gen.model import (
    Batch,
    DataSpec,
    Function,
    Given,
    Input,
    Loss,
    Model,
    Optim,
    Phase,
    Problem,
    Text,
    hyper,
)
from tui_gen.models.nets.layers import draw_symbol, glorot, uniform

TEMPERATURES = (0.25, 0.5, 1.0)
"""Of the texts that the panel of temperatures compares."""
PASSAGE = 160
"""Characters of each of those texts, and of the passage that is marked with surprises."""
LINE = 76
"""Longest line of a panel."""


class CharRNN(Model):
    name = "char-rnn"
    family = "sequence"
    title = "Character RNN"
    summary = "An LSTM or GRU reads text and guesses the next character; its guesses, drawn one by one, are new text."
    reference = (
        "LSTM: Hochreiter & Schmidhuber 1997; GRU: Cho et al. 2014, arXiv:1406.1078; text: Sutskever, Martens & Hinton "
        "2011; Graves 2013, arXiv:1308.0850; Karpathy 2015, The Unreasonable Effectiveness of Recurrent Neural "
        "Networks; textbook network: Géron 2022, ch. 16"
    )
    kinds = ("text",)
    optimizers = {"rnn": Optim(lr=2e-3, clip_norm=5.0)}
    judged = ("bits_per_character",)

    class Config(msgspec.Struct):
        cell: Annotated[Literal["lstm", "gru"], hyper("Kind of recurrent unit")] = "lstm"
        embedding: Annotated[int, hyper("Numbers that stand for a character", ge=1, le=1024)] = 32
        hidden: Annotated[int, hyper("Units of each recurrent layer", ge=1, le=4096)] = 128
        layers: Annotated[int, hyper("Recurrent layers, one above the other", ge=1, le=8)] = 1
        dropout: Annotated[
            float, hyper("Share of units left out after each recurrent layer, in training", ge=0, le=0.95, live=True)
        ] = 0.0
        prompt: Annotated[str, hyper("What generated text goes on from", live=True)] = "The "
        temperature: Annotated[
            float, hyper("Of generated text: below 1 safe, above 1 bold; 0 takes the likeliest", ge=0, le=10, live=True)
        ] = 0.8
        sample_length: Annotated[
            int, hyper("Length of generated text", ge=1, le=4096, unit="characters", live=True)
        ] = 300

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        yield from super().refuse(config, data, **parts)
        if len(config.prompt) > 1000:
            yield Problem("model.prompt", config.prompt[:20] + "…", "is longer than 1,000 characters", "shorten it")

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__(config, data)
        vocabulary = len(data.classes)
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        sizes = [config.embedding, *[config.hidden] * config.layers]
        self.cells = nn.ModuleList(cell(*pair, batch_first=True) for pair in pairwise(sizes))
        self.guess = nn.Linear(config.hidden, vocabulary)
        self.apply(glorot)
        nn.init.normal_(self.embedding.weight, std=0.1)

    @property
    def noise_shape(self) -> tuple[int, ...]:  # type: ignore[override]  # it follows a live setting
        """One number a character that is to be drawn."""
        return (self.config.sample_length,)

    def phases(self) -> list[Phase]:
        return [Phase("rnn", self.loss, [p for p in self.parameters() if p.requires_grad])]

    def forward(self, x: Tensor, states: list[Any] | None = None) -> tuple[Tensor, list[Any]]:
        """Characters (N, T) int64 → logits (N, T, vocabulary) of those that follow, and each layer's state."""
        new_states = []
        out = self.embedding(x)
        for place, cell in enumerate(self.cells):
            out, state = cell(out, states[place] if states else None)
            out = F.dropout(out, self.config.dropout, self.training)
            new_states.append(state)
        return self.guess(out).float(), new_states

    def loss(self, batch: Batch) -> Loss:
        """Mean −ln p of each window's characters but the first, given those before."""
        logits, _ = self(batch.x[:, :-1])
        targets = batch.x[:, 1:]
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        accuracy = (logits.argmax(2) == targets).float().mean()
        return loss, {"bits_per_character": loss.detach() / math.log(2), "accuracy": accuracy}

    def sample(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """noise (N, T) standard normal → (N, prompt + T) int64: the prompt, and T characters drawn to go on from it.

        Text changes only where the probabilities do (see `draw_symbol`).
        """
        return self.write(noise, self.config.temperature)

    def write(self, noise: Tensor, temperature: float) -> Tensor:
        """As `sample`, at a temperature ≥ 0."""
        draws = uniform(noise)
        start = self.numbers_of(self.config.prompt).to(noise.device)
        # with nothing to go on from, text begins as if after a line
        seed = start if len(start) else self.numbers_of("\n").to(noise.device)
        seed = seed if len(seed) else torch.zeros(1, dtype=torch.int64, device=noise.device)
        symbols = [start.expand(len(noise), -1)]
        logits, states = self(seed.expand(len(noise), -1))
        for draw in draws.T:
            symbol = draw_symbol(logits[:, -1], draw, temperature)[:, None]
            symbols.append(symbol)
            logits, states = self(symbol, states)
        return torch.cat(symbols, dim=1)

    def functions(self) -> list[Function]:
        """One step: a character and each layer's state to what comes next, and the states after it."""
        names = ("h", "c") if self.config.cell == "lstm" else ("h",)
        places = [f"{name}{layer}" for layer in range(self.config.layers) for name in names]

        def step(symbol: Tensor, *numbers: Tensor) -> tuple[Tensor, ...]:
            layers = [part[None] for part in numbers]
            pairs: list[Any] = layers if len(names) == 1 else list(zip(layers[::2], layers[1::2]))
            logits, states = self(symbol[:, None], pairs)
            after = states if len(names) == 1 else [part for pair in states for part in pair]
            return logits[:, 0], *(part[0] for part in after)

        inputs = {"symbol": Input((), len(self.data.classes)), **dict.fromkeys(places, Input((self.config.hidden,)))}
        outputs = ("logits", *(f"next_{place}" for place in places))
        return [Function("cell", step, inputs, outputs, "one character; states begin as zeros")]

    def numbers_of(self, text: str) -> Tensor:
        """(length,) int64: the text's characters as numbers; those that are not in the vocabulary are left out."""
        places = {character: place for place, character in enumerate(self.data.classes)}
        return torch.tensor([places[character] for character in text if character in places], dtype=torch.int64)

    def text_of(self, numbers: Tensor) -> str:
        """(length,) int64 → the characters."""
        return "".join(self.data.classes[number] for number in numbers.tolist())

    def panels(self, inputs: Given) -> list[Text]:
        """The same prompt at several temperatures, and what a held-out passage costs, character by character."""
        parts = []
        if inputs.noise is not None:
            noise = inputs.noise[:1, :PASSAGE]
            for temperature in TEMPERATURES:
                text = self.text_of(self.write(noise, temperature)[0])
                parts.append(f"── temperature {temperature:g} ──\n{text}\n")
        return [Text("temperatures", "\n".join(parts)), Text("surprises", self.surprises(inputs.x[:1, : PASSAGE + 1]))]

    def surprises(self, x: Tensor) -> str:
        """A window (1, T) as lines of text, below each character but the first the bits that it cost, up to 9."""
        logits, _ = self(x[:, :-1])
        costs = F.cross_entropy(logits[0], x[0, 1:], reduction="none").nan_to_num(99.0) / math.log(2)
        mean = f"Bits that each character cost, rounded down, 9 for more; {costs.mean():.2f} on average:"
        marks = "·" + "".join(str(min(9, int(cost))) for cost in costs.tolist())
        signs = ("↵" if sign == "\n" else sign if sign.isprintable() else "␣" for sign in self.text_of(x[0]))
        text = "".join(signs)
        lines = [line for at in range(0, len(text), LINE) for line in (text[at : at + LINE], marks[at : at + LINE], "")]
        return "\n".join([mean, "", *lines])
