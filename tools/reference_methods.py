"""The decoding methods, computed literally in float64 from the logits of every exit at one position.

`premature` is z_0 .. z_{L-1} [L, V], `mature` is z_L [V]; each method gives its score of every token [V].
"""

import numpy as np

from reference_model import softmax

Array = np.ndarray


def log_softmax(x: Array) -> Array:
    """Log-softmax over the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cosine(a: Array, b: Array) -> Array:
    """Cosine similarity over the last axis, each norm at least 1e-8."""
    norms = [np.maximum(np.linalg.norm(x, axis=-1), 1e-8) for x in (a, b)]
    return (a * b).sum(axis=-1) / (norms[0] * norms[1])


def ranked(scores: Array) -> Array:
    """Token ids from the highest score to the lowest, equal scores by lower id."""
    return np.argsort(-scores, kind="stable")


def sled_target(premature: Array, mature: Array, top: Array) -> Array:
    """SLED's estimate of the latent distribution, [V], over the exits given (Zhang et al. 2024, algorithm 1).

    Exit i supports token k of `top` by the squared positive part of the cosine between z_i - z_L and
    softmax(z_i) - e_k; the supports are normalised within a layer, and layers weighed by their share of all support.
    """
    one_hot = np.eye(len(mature))[top]  # [k, V]
    gradients = softmax(premature)[:, None, :] - one_hot[None, :, :]  # [exits, k, V]
    differences = (premature - mature)[:, None, :]  # [exits, 1, V]
    support = np.maximum(cosine(gradients, differences), 0) ** 2  # [exits, k]
    total = support.sum(axis=1, keepdims=True)  # [exits, 1]
    within_layer = np.divide(support, total, out=np.zeros_like(support), where=total > 0)
    layer_weight = total / total.sum() if total.sum() > 0 else total
    target = np.zeros_like(mature)
    target[top] = (layer_weight * within_layer).sum(axis=0)
    return target


def sled(premature: Array, mature: Array, rate: float, scale: int, steps: int, lower_bound: float) -> Array:
    """Self Logits Evolution Decoding (Zhang et al. 2024, algorithm 1; temperature 1)."""
    top = ranked(mature)[:scale]
    target = sled_target(premature, mature, top)
    evolved = mature
    for step in range(steps):
        evolved = evolved - rate * (1 - step / steps) * (softmax(evolved) - target)
    scores = np.full_like(mature, lower_bound)
    scores[top] = evolved[top]
    return scores


def jensen_shannon(premature: Array, mature: Array) -> Array:
    """Divergence of each exit from the mature layer, [exits].

    KL(M || .), averaged over the vocabulary: what DoLa's public code computes.
    """
    a, b = log_softmax(mature), log_softmax(premature)
    mean = (np.exp(a) + np.exp(b)) / 2
    return (mean * (np.log(mean) - (a + b) / 2)).mean(axis=-1)


def contrast(premature: Array, mature: Array) -> Array:
    """Log-ratio of the mature layer to the exit that diverges most from it (Chuang et al. 2024, section 2)."""
    chosen = premature[jensen_shannon(premature, mature).argmax()]
    return log_softmax(mature) - log_softmax(chosen)


def plausibility_threshold(mature: Array, relative_top: float) -> float:
    """The least log-probability of a token that DoLa keeps (Chuang et al. 2024, section 2.3)."""
    return log_softmax(mature).max() + np.log(relative_top)


def dola(premature: Array, mature: Array, relative_top: float, masked: float) -> Array:
    """Decoding by Contrasting Layers; implausible tokens get `masked`."""
    plausible = log_softmax(mature) >= plausibility_threshold(mature, relative_top)
    return np.where(plausible, contrast(premature, mature), masked)


def ensemble(premature: Array, mature: Array) -> Array:
    """Log of the plain mean of every exit's distribution and the mature layer's."""
    return np.log(softmax(np.vstack([premature, mature])).mean(axis=0))
