"""What can go wrong in a training."""

from repflow.core import RepflowError


class Diverged(RepflowError):
    """A gradient or loss that is not finite. The weights and checkpoints before it are good."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss or its gradient is not finite at step {step}; checkpoints saved before it stay")
        self.step = step
