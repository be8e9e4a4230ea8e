"""What each quantity means and how to read it: shown beside its figure and in the report's appendix."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    """A metric as a reader meets it."""

    metric: str
    title: str
    axis: str
    meaning: str
    reading: str
    formula: str
    logarithmic: bool = False
    unit: bool = False
    """True where the scale is that of a cosine, so the axis should show 0 .. 1 whole."""
    angle: bool = False
    """True for angles, whose axis need not reach down to 0."""


_ALL = (
    Quantity(
        "inter_token_cosine",
        "Inter-token cosine",
        "mean cosine between tokens",
        "How alike the tokens of one sequence are at a site: the mean cosine over all pairs of tokens.",
        "High means tokens point the same way (homogenised); near 0 means they are spread out. Compare where along "
        "depth each model rises. Raw far above centred: tokens share an offset common to all text, of whatever form. "
        "What centring leaves is likeness of this sequence. Whether a few features carry it, the feature share says.",
        "2/(n(n−1)) · Σ<sub>i&lt;j</sub> cos(h<sub>i</sub>, h<sub>j</sub>), exact over all pairs",
        unit=True,
    ),
    Quantity(
        "feature_share",
        "Feature share",
        "share of the raw cosine",
        "How much of the raw inter-token cosine the k features that contribute most to it carry.",
        "Near 1 for k = 3: a few features make the tokens alike. About k over the width: all features do. Above 1: the "
        "other features take some away. No value where tokens are not alike at all.",
        "Σ of the k largest mean<sub>i&lt;j</sub> u<sub>i</sub>[f] u<sub>j</sub>[f], over the inter-token cosine",
    ),
    Quantity(
        "adjacent_cosine",
        "Adjacent cosine",
        "cosine with the site before",
        "How little a block turns a token's state: the cosine between the state before and after it.",
        "Near 1 means the block hardly changes direction. The residual stream pushes this towards 1 by construction, "
        "so read it with the update ratio. The final norm rescales every feature by its own factor, which can turn a "
        "state far; it is not a layer.",
        "mean over tokens of cos(h at the site before, h at this site)",
        unit=True,
    ),
    Quantity(
        "update_ratio",
        "Update ratio",
        "‖update‖ / ‖state before‖",
        "How large a block's contribution is beside the state it is added to.",
        "0.05 means the block moves the state by 5% of its length; values near or above 1 rewrite it. The axis is "
        "logarithmic: the first block usually writes many times the embedding's length.",
        "‖h<sub>s</sub> − h<sub>prev</sub>‖ / ‖h<sub>prev</sub>‖, mean over tokens",
        logarithmic=True,
    ),
    Quantity(
        "update_cosine",
        "Update cosine",
        "cosine of update and state",
        "Whether a block's contribution points along the state it is added to, or across it.",
        "Positive amplifies what is there, near 0 adds something new, negative erases.",
        "cos(h<sub>prev</sub>, h<sub>s</sub> − h<sub>prev</sub>), mean over tokens",
    ),
    Quantity(
        "norm",
        "Norm",
        "norm of the state (log)",
        "The Euclidean length of the tokens' states, on a logarithmic axis.",
        "A maximum far above the median shows massive activations or sinks: a few tokens that would dominate "
        "any average. Compare with the token policy that drops them.",
        "‖h‖<sub>2</sub>: mean, median or maximum over tokens",
        logarithmic=True,
    ),
    Quantity(
        "participation_ratio",
        "Participation ratio",
        "effective dimensions",
        "How many directions the tokens of a sequence really use.",
        "1 means all tokens lie on one line; larger is richer. The centred form ignores the tokens' common mean. It is "
        "computed on at most --gram-tokens (256) tokens of an example, a fixed sample where there are more, and grows "
        "with their number: compare equal contexts.",
        "tr(K)<sup>2</sup> / ‖K‖<sub>F</sub><sup>2</sup> of the Gram matrix K, uncentred or centred",
    ),
    Quantity(
        "renyi2_entropy",
        "Rényi-2 entropy",
        "entropy (nats)",
        "The logarithm of the participation ratio.",
        "One unit less means a factor e fewer effective directions.",
        "log of the participation ratio",
    ),
    Quantity(
        "von_neumann_entropy",
        "Von Neumann entropy",
        "entropy (nats)",
        "How evenly the tokens of a sequence fill the directions they use, over the whole spectrum.",
        "0 means all tokens lie on one line; the logarithm of the number of directions is the most, reached where all "
        "are used alike. Small directions count more than in the Rényi-2 entropy. It grows with the number of tokens.",
        "−Σ p log p over the eigenvalues p of the Gram matrix K / tr(K), uncentred or centred",
    ),
    Quantity(
        "sequence_curvature",
        "Sequence curvature",
        "mean angle (radians)",
        "How sharply the path through a sequence turns from one token to the next.",
        "Smaller is straighter: π/2 is a walk of unrelated steps, 2π/3 (2.09) a string of unrelated states.",
        "mean angle between h<sub>t+1</sub> − h<sub>t</sub> and h<sub>t+2</sub> − h<sub>t+1</sub>",
        angle=True,
    ),
    Quantity(
        "dropped_share",
        "Share of tokens dropped",
        "share of tokens",
        "How many tokens the token policy leaves out at a site.",
        "A jump along depth shows where sinks appear.",
        "tokens dropped / tokens",
    ),
    Quantity(
        "offset_cosine",
        "Offset profile",
        "cosine at distance k",
        "How alike two tokens are that stand k places apart.",
        "Bright only at the bottom: tokens resemble their neighbours (local). Bright all the way up: the whole "
        "sequence has become alike (global).",
        "mean over t of cos(h<sub>t</sub>, h<sub>t+k</sub>), k in powers of two",
        unit=True,
    ),
    Quantity(
        "cka",
        "CKA between sites",
        "CKA",
        "How similar two sites' representations are, blind to rotation and scale.",
        "1 is identical up to rotation, 0 is unrelated. Bright squares along the diagonal are stages of blocks doing "
        "similar work. The estimator is debiased, so values a little below 0 occur; they carry a minus sign.",
        "linear CKA from debiased HSIC; sums of HSIC over blocks of rows before the ratio",
        unit=True,
    ),
    Quantity(
        "cka_calibrated",
        "CKA, calibrated",
        "calibrated CKA",
        "Cross-model CKA on a scale where 0 is the level that unrelated sequences reach.",
        "0 means no more alike than by chance at the 5% level, 1 is the maximum. Compare the raw map beside it: what "
        "is bright there and dark here is chance. Blank: too few sequences for a null. Token CKA between models takes "
        "64 evenly spaced tokens of each of the first 128 examples, whatever --gram-tokens says.",
        "clip((s − τ)/(s<sub>max</sub> − τ), 0, 1), τ from permuting whole sequences",
        unit=True,
    ),
    Quantity(
        "v_loc",
        "Local variance",
        "V_loc",
        "The mean squared step of a token's state along depth.",
        "Larger means bigger jumps between neighbouring sites.",
        "path energy / L",
    ),
    Quantity(
        "v_glob",
        "Global variance",
        "V_glob",
        "The spread of a token's whole path around its own mean.",
        "Large beside the local variance means steps that add up; small means steps that turn back on each other.",
        "1/(L+1) · Σ<sub>l</sub> ‖h<sub>l</sub> − mean‖<sup>2</sup>",
    ),
    Quantity(
        "path_energy",
        "Path energy",
        "path energy",
        "The sum of squared steps along depth.",
        "Grows with the number of blocks; compare the local variance across depths.",
        "Σ<sub>l</sub> ‖h<sub>l+1</sub> − h<sub>l</sub>‖<sup>2</sup>",
    ),
    Quantity(
        "path_length",
        "Path length",
        "path length",
        "The length of a token's path through depth.",
        "In the rms variant, in units of the path's own typical norm.",
        "Σ<sub>l</sub> ‖h<sub>l+1</sub> − h<sub>l</sub>‖",
    ),
    Quantity(
        "tortuosity",
        "Tortuosity",
        "tortuosity",
        "How much longer the path is than the straight line from its start to its end.",
        "1 is a straight line.",
        "path length / ‖h<sub>L</sub> − h<sub>0</sub>‖",
    ),
    Quantity(
        "depth_curvature",
        "Depth curvature",
        "angle (radians)",
        "The mean angle between successive steps along depth.",
        "0 is straight on, π/2 turns at right angles at every block.",
        "mean angle between h<sub>l+1</sub> − h<sub>l</sub> and h<sub>l+2</sub> − h<sub>l+1</sub>",
    ),
    Quantity(
        "smoothness",
        "Smoothness",
        "smoothness",
        "How much the profile of adjacent similarities jumps from one block to the next.",
        "0 is perfectly smooth; larger is more abrupt.",
        "mean<sub>l</sub> (s<sub>l+1</sub> − s<sub>l</sub>)<sup>2</sup> over the adjacent profile s",
    ),
    Quantity(
        "stability",
        "Stability",
        "stability",
        "How much adjacent similarity varies over the whole depth.",
        "0 means every block changes the representation equally.",
        "var<sub>l</sub>(s<sub>l</sub>) over the adjacent profile s",
    ),
)
HF_NOTE = (
    "Read from Hugging Face's hidden_states list, for parity with published figures: entries of different families are "
    "not the same places."
)
QUANTITIES = {q.metric: q for q in _ALL}
PATH_METRICS = ("v_loc", "v_glob", "path_energy", "path_length", "tortuosity", "depth_curvature")
PROFILE_METRICS = ("smoothness", "stability")


def quantity(metric: str) -> Quantity:
    """A metric's texts; a metric this report does not know is named by itself."""
    plain = metric.replace("_", " ")
    return QUANTITIES.get(metric) or Quantity(metric, plain.capitalize(), plain, "", "", "")


SOURCES = {
    "cka": "CKA: Kornblith et al. 2019, debiased after Song et al. 2012, over minibatches after Nguyen et al. 2021; "
    "calibration after Groeger et al. 2026.",
    "inter_token_cosine": "Standardised cosine and the shares of features: Timkey and van Schijndel 2021.",
    "sequence_curvature": "Sequence curvature: Hosseini and Fedorenko 2023.",
}
"""Whose a metric is."""

TARGETS = {
    "inter_token_cosine": (-1.0, 1.0),
    "contrastive_tokens": (0.0, 30.0),
    "v_loc": (0.0, 4.0),
    "v_glob": (0.0, 1.0),
}
"""Where each quantity that a training can hold may be, in the variant that is trained; a contrastive loss near the
logarithm of the tokens is that of tokens all alike."""
