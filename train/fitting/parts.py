"""What every encoder's recipe says of its optimiser and its length."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.schema.table import key


@dataclass(frozen=True)
class OptimiserPart:
    """Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019) or Muon (Jordan et al., 2024;
    see ``train.fitting.muon``).

    Attributes:
        kind: adam, adamw or muon.
        learning_rate: at its height.
        weight_decay: for adamw and muon.
        schedule: constant, or cosine down to nothing at the last step.
        warmup_steps: steps of linear growth before; cosine only.
    """

    kind: str = key("adam", choices=("adam", "adamw", "muon"))
    learning_rate: float = key(1e-3, low=1e-7, high=10)
    weight_decay: float = key(0.0, low=0, high=1)
    schedule: str = key("constant", choices=("constant", "cosine"))
    warmup_steps: int = key(0, low=0, high=10**6)


@dataclass(frozen=True)
class FitPart:
    """How long and how.

    Attributes:
        epochs: passes over the training photos.
        minutes: pass over them for so long instead; the schedule ends with the last whole epoch that fits best.
            What is spent counts over interruptions. 0: go by ``epochs``.
        batch: photos a step.
        precision: auto (mixed_bfloat16 where the machine has it in hardware), float32 or mixed_bfloat16.
        repeats: epochs that a view of a photo, and the teacher's code of it, lasts before a new one takes its
            place; the camera's disturbances are new every time.
        passes: times an epoch goes over the photos, for few of them.
        photos_a_person: at most so many of one person's photos in an epoch; 0: all.
        photos: at most so many photos in a pass, others in the next, so that an epoch of many photos does not last
            too long to lose; 0: all.
        patience: stop after so many epochs without a better ``monitor`` and keep the best; 0: never.
        monitor: column of the history: smaller is better for a loss, larger for the rest.
        measure_every: epochs between two looks at the held-out people; they are always looked at in the end.
        average: decay a step of a running mean of the weights, which is what is measured and kept (Polyak and
            Juditsky, 1992; as in Tarvainen and Valpola, 2017); 0: the weights themselves.
        hold_out: for fine-tuning (``--from``): everybody with a name in the chips is fitted on, whatever their
            split, but for this share of each one's photos, by which old and new encoder are judged; 0: no
            fine-tuning.
        freeze_norm: leave batch normalisation as the start has it; few photos say little about its statistics.
    """

    epochs: int = key(50, low=1, high=100_000)
    minutes: float = key(0.0, low=0, high=100_000)
    batch: int = key(256, low=2, high=65_536)
    precision: str = key("float32", choices=("auto", "float32", "mixed_bfloat16"))
    repeats: int = key(1, low=1, high=10_000)
    passes: int = key(1, low=1, high=10_000)
    photos_a_person: int = key(0, low=0, high=10**6)
    photos: int = key(0, low=0, high=10**9)
    patience: int = key(0, low=0, high=100_000)
    monitor: str = "val_loss"
    measure_every: int = key(1, low=1, high=100_000)
    average: float = key(0.0, low=0, high=0.99999)
    hold_out: float = key(0.0, low=0, high=0.9)
    freeze_norm: bool = False
