"""Losses of pixels against torch's and torchvision's, one image at a time."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from lit_transformer.nn.pixel_losses import pixel_losses

CLASSES = 5
NAMES = ("cross_entropy", "bce", "dice", "focal")
ONE_LOGIT = NAMES[1:]
EVERY = [(name, CLASSES) for name in NAMES] + [(name, 1) for name in ONE_LOGIT]


def sample(num_logits: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Three images whose numbers of counted pixels differ; class 4 is in the first alone."""
    torch.manual_seed(0)
    logits = (2 * torch.randn(3, num_logits, 6, 7, dtype=torch.float64)).to(dtype).requires_grad_()
    targets = torch.randint(max(num_logits, 2) - (num_logits > 1), (3, 6, 7))
    if num_logits > 1:
        targets[0, 0, 0] = 4
    targets[0, 2:4] = targets[1, :, :5] = -100
    return logits, targets


def one(name: str, logits: Tensor, targets: Tensor, **how: object) -> Tensor:
    total, _ = pixel_losses(logits, targets, terms={name: 1.0}, **how)
    return total


def expected(name: str, logits: Tensor, targets: Tensor) -> Tensor:
    """One image's loss, by others' functions: logits (num_logits, height, width), targets (height, width)."""
    counted = targets != -100
    rows, labels = logits[:, counted].T, targets[counted]  # (pixels, num_logits), (pixels,)
    if len(logits) == 1:
        z, y = rows[:, 0], (labels == 1).to(rows.dtype)
        if name == "bce":
            return F.binary_cross_entropy_with_logits(z, y)
        if name == "focal":
            return sigmoid_focal_loss(z, y, alpha=-1, gamma=2, reduction="mean")
        p, truth = torch.stack((1 - z.sigmoid(), z.sigmoid()), dim=1), torch.stack((1 - y, y), dim=1)
    else:
        p, truth = rows.softmax(dim=1), F.one_hot(labels, CLASSES).to(rows.dtype)
        if name == "cross_entropy":
            return F.cross_entropy(rows, labels)
        if name == "bce":
            return F.binary_cross_entropy_with_logits(rows, truth)
        if name == "focal":
            of_target = p.gather(1, labels[:, None])[:, 0]
            return ((1 - of_target) ** 2 * -of_target.log()).mean()
    scores = [
        2 * (p[:, k] * truth[:, k]).sum() / (p[:, k].sum() + truth[:, k].sum())
        for k in range(p.shape[1])
        if truth[:, k].any()
    ]
    return 1 - sum(scores) / len(scores)


@pytest.mark.parametrize(("name", "num_logits"), EVERY)
def test_sum_count_and_gradients(name, num_logits) -> None:
    logits, targets = sample(num_logits)
    total, count = pixel_losses(logits, targets, terms={name: 0.7})
    wanted = 0.7 * sum(expected(name, logits[i], targets[i]) for i in range(3))
    torch.testing.assert_close(total, wanted, rtol=0, atol=1e-12)
    assert count == 3
    ours, theirs = (torch.autograd.grad(loss, logits)[0] for loss in (total, wanted))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    ignored = (targets == -100)[:, None].expand_as(ours)
    assert ignored.any() and not ours[ignored].any() and ours[~ignored].any()


def test_cross_entropy_is_torchs_with_its_ignored_pixels() -> None:
    logits, targets = sample(CLASSES)
    wanted = sum(F.cross_entropy(logits[i : i + 1], targets[i : i + 1], ignore_index=-100) for i in range(3))
    torch.testing.assert_close(one("cross_entropy", logits, targets), wanted)


@pytest.mark.parametrize(("name", "num_logits"), EVERY)
def test_parts_add_up_to_the_whole(name, num_logits) -> None:
    logits, targets = sample(num_logits)
    whole = pixel_losses(logits, targets, terms={name: 1.0})
    parts = [pixel_losses(logits[i : i + 1], targets[i : i + 1], terms={name: 1.0}) for i in range(3)]
    torch.testing.assert_close(sum(total for total, _ in parts), whole[0])
    assert sum(count for _, count in parts) == whole[1]


def test_terms_add_up_by_their_weights() -> None:
    logits, targets = sample(CLASSES)
    total, count = pixel_losses(logits, targets, terms={"cross_entropy": 1.0, "dice": 0.5, "focal": 2.0, "bce": 3.0})
    parts = [weight * one(name, logits, targets) for name, weight in zip(NAMES, (1, 3, 0.5, 2), strict=True)]
    torch.testing.assert_close(total, sum(parts))
    assert count == 3


@pytest.mark.parametrize(("name", "num_logits"), EVERY)
def test_an_image_without_counted_pixels_adds_nothing(name, num_logits) -> None:
    logits, targets = sample(num_logits)
    logits = (50 * logits.detach()).requires_grad_()
    targets[1] = -100
    total, count = pixel_losses(logits, targets, terms={name: 1.0})
    others, _ = pixel_losses(logits[[0, 2]], targets[[0, 2]], terms={name: 1.0})
    assert count == 2
    torch.testing.assert_close(total, others)
    alone, none = pixel_losses(logits[1:2], targets[1:2], terms={name: 1.0})
    assert alone.item() == 0 and none == 0
    (gradient,) = torch.autograd.grad(total + alone, logits)
    assert gradient.isfinite().all() and not gradient[1].any()


@pytest.mark.parametrize("num_logits", [1, CLASSES])
@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_class_weights_multiply_each_pixel(name, num_logits) -> None:
    logits, targets = sample(num_logits)
    weights = torch.arange(1.0, max(num_logits, 2) + 1)
    wanted = torch.zeros((), dtype=torch.float64)
    for image, mask in zip(logits, targets, strict=True):
        counted = mask != -100
        for row, column in counted.nonzero().tolist():
            alone = one(
                name, image[None, :, row : row + 1, column : column + 1], mask[None, row, column][:, None, None]
            )
            wanted = wanted + weights[mask[row, column]] * alone / counted.sum()
    torch.testing.assert_close(one(name, logits, targets, class_weights=weights), wanted)
    for other in ("bce", "dice"):
        assert one(other, logits, targets, class_weights=weights) == one(other, logits, targets)


@pytest.mark.parametrize("num_logits", [1, CLASSES])
def test_focal_without_gamma_is_cross_entropy(num_logits) -> None:
    logits, targets = sample(num_logits)
    plain = one("bce" if num_logits == 1 else "cross_entropy", logits, targets)
    torch.testing.assert_close(one("focal", logits, targets, focal_gamma=0.0), plain)
    assert one("focal", logits, targets, focal_gamma=3.0) < one("focal", logits, targets) < plain


@pytest.mark.parametrize(("name", "num_logits"), EVERY)
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_certain_logits_have_finite_losses_and_gradients(name, num_logits, gamma) -> None:
    targets = torch.tensor([[[0, 1], [1, 0]]])
    for sign in (1, -1):  # all right, all wrong
        right = F.one_hot(targets, max(num_logits, 2)).movedim(-1, 1)[:, -num_logits:]
        logits = (sign * 500.0 * (2 * right - 1)).requires_grad_()
        loss = one(name, logits, targets, focal_gamma=gamma)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite() and gradient.isfinite().all()
        assert (loss < 1e-6) == (sign == 1)


@pytest.mark.parametrize(("name", "num_logits"), EVERY)
def test_half_precision_sums_in_float32(name, num_logits) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, num_logits, 200, 200).to(torch.bfloat16)
    targets = torch.randint(max(num_logits, 2), (2, 200, 200))
    with torch.autocast("cpu", torch.bfloat16):
        total = one(name, logits, targets)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total.double(), one(name, logits.double(), targets), rtol=1e-5, atol=0)


def test_channels_last_is_the_same() -> None:
    logits, targets = sample(CLASSES, torch.float32)
    for name in NAMES:
        there = one(name, logits.contiguous(memory_format=torch.channels_last), targets)
        torch.testing.assert_close(there, one(name, logits, targets))


def test_names_are_closed() -> None:
    logits, targets = sample(CLASSES)
    with pytest.raises(ValueError, match=r"'iou'.*cross_entropy, bce, focal and dice"):
        one("iou", logits, targets)
