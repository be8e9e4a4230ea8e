"""What is trained side by side on the same rows: a classifier for each labelling and split."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Jobs:
    """T labellings x R splits of N examples; jobs are counted labelling by labelling."""

    train: Bool[Tensor, "r n"]
    labels: Int64[Tensor, "t r n"]
    classes: int

    @property
    def count(self) -> int:
        return self.labels.shape[0] * self.labels.shape[1]

    def share(self) -> Float[Tensor, "j n"]:
        """Each example's share in its job's mean loss, 0 outside training."""
        share = self.train / self.train.sum(1, keepdim=True)
        return share.repeat(len(self.labels), 1)

    def target(self) -> Float[Tensor, "c j n"]:
        """The share where an example is of the class, else 0."""
        one_hot = functional.one_hot(self.labels.flatten(0, 1), self.classes)
        return one_hot.permute(2, 0, 1) * self.share()
