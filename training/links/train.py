#!/usr/bin/env python3
"""Learns the weights of the link score and writes rules/links/model.bin.

    python3 -m venv venv && venv/bin/pip install -r training/links/requirements.txt
    cargo build --release -p guarita-inspect --example link_features
    venv/bin/python training/links/train.py DATA [--out rules/links/model.bin] [--rules rules] [--features target/release/examples/link_features]

DATA holds `malicious.tsv` and `benign.tsv` with the columns url, source, kind (full | domain), date, tags, regdomain.
The n-grams and the hand-made features come from the product's own code (the example `link_features`), so that what is
learned is what is later looked at.

Two stages. A logistic regression over hashed n-grams and one over hashed signs of form, their weights kept as 8-bit numbers; then boosted trees over the
n-grams' sums by part of the link and the hand-made features. The trees see sums of links their regression was not
trained on (each half of the domains is summed by what was learned from the other), as they will in use. Registrable
domains are dealt into five parts; `--measured N` of them are held out in turn, and the figures printed and the scale of
the score are of links nobody has seen. Then the same is learned from all domains, to `--out`; that is what ships.
`--held-out FILE` keeps the weights that have not seen the first part, to measure them together with the rules.

Sources in NEVER are measured, not learned from: their terms forbid it.
"""
import argparse
import collections
import csv
import hashlib
import os
import re
import struct
import subprocess
import tempfile

import lightgbm
import numpy
import scipy.sparse
from sklearn.linear_model import LogisticRegression

BITS = 20
CHANNELS = 6
# The channel of the signs of form (crates/inspect/src/links/shape.rs), which are learned by themselves: beside the n-grams
# they would only be given what those leave over.
FORM = 5
FORM_BITS = 18
FOLDS = 5
# Terms: no commercial use.
NEVER = ("openphish", "cloudflare")
# Names that malware calls home to; nobody is sent such a link.
LEFT_OUT = ("maltrail",)
# Sources are of unequal size and age; a weight keeps one of them from being "what fraud looks like".
WEIGHTS = {
    True: {"jpcert": 2.0, "tweetfeed": 2.5, "mitchell": 2.5},
    False: {"free-prog": 2.0, "scoop": 1.5, "public-apis": 2.0, "awesome": 2.0, "querido": 3.0, "fakewhats": 2.0, "remote": 3.0, "project": 2.0},
}
HOST_ONLY_WEIGHT = 0.3
DOMAIN_LIST_WEIGHT = 0.5
# Free application hosting carries far more fraud today than in the years most of the data is from.
SHARED_HOST_WEIGHT = 3.0
# Share of benign links at or above a score: the scale that the rules' thresholds are written for.
SCALE = ((0.5, 0.02), (0.1, 0.2), (0.02, 0.4), (0.004, 0.5), (0.0011, 0.87))


def read(folder):
    rows = []
    for name, malicious in (("malicious", True), ("benign", False)):
        with open(os.path.join(folder, name + ".tsv"), encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE):
                rows.append((plain(row["url"]), row["source"].lower(), row["kind"], row["regdomain"].lower(), malicious))
    return rows + host_only(rows)


def plain(url):
    """Without scheme and `www.`, which differ by collection and not by intent."""
    return "https://" + re.sub(r"^(?:[a-z][a-z0-9+.-]*://)?(?:www\.)?", "", url, flags=re.I)


def host_only(rows):
    """Each host once more without its path: some sources are bare hosts, and a path must not speak for them."""
    seen, added = set(), []
    for url, source, kind, domain, malicious in rows:
        host = re.match(r"https://([^/?#]*)", url).group(1)
        if kind == "full" and not never(source) and (host, malicious) not in seen:
            seen.add((host, malicious))
            if url.rstrip("/") != "https://" + host:
                added.append(("https://" + host, source, "host", domain, malicious))
    return added


def never(source):
    return any(word in source for word in NEVER)


def look(binary, rules, urls, kept):
    """Hashes by row, channel of each hash, and the hand-made features, from the product's own code."""
    with tempfile.TemporaryDirectory() as folder:
        folder = kept or folder
        listed = os.path.join(folder, "names.txt")
        if not os.path.exists(listed):
            text = "\n".join(url.replace("\n", " ") for url in urls) + "\n"
            out = subprocess.run([binary, folder, rules], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
            with open(listed, "wb") as handle:
                handle.write(out)
        with open(listed, encoding="utf-8") as handle:
            names = handle.read().split()
        load = lambda name, kind: numpy.fromfile(os.path.join(folder, name), kind)
        counts, channels, hashes = load("counts.u32", numpy.uint32), load("channels.u8", numpy.uint8), load("hashes.u32", numpy.uint32)
        return names, counts, channels, hashes, load("features.f32", numpy.float32).reshape(len(urls), -1)


class Grams:
    """The n-grams as sparse rows: a channel's grams weigh 1/sqrt(their number), as in the product."""

    def __init__(self, counts, channels, hashes):
        rows = numpy.repeat(numpy.arange(len(counts)), counts)
        numbers = numpy.zeros((len(counts), CHANNELS), numpy.float32)
        numpy.add.at(numbers, (rows, channels), 1)
        values = (1 / numpy.sqrt(numpy.maximum(numbers, 1)))[rows, channels].astype(numpy.float32)

        def matrix(kept, bits):
            columns = (hashes[kept] & ((1 << bits) - 1)).astype(numpy.int64)
            return scipy.sparse.csr_matrix((values[kept], (rows[kept], columns)), shape=(len(counts), 1 << bits))

        self.letters = matrix(channels != FORM, BITS)
        self.parts = [matrix(channels == c, BITS if c != FORM else FORM_BITS) for c in range(CHANNELS)]

    def learn(self, index, labels, weights):
        """Weights of the n-grams and of the signs of form."""
        learned = []
        for matrix in (self.letters, self.parts[FORM]):
            model = LogisticRegression(solver="liblinear", C=1.0, tol=0.02, max_iter=40)
            model.fit(matrix[index], labels[index], sample_weight=weights[index])
            learned.append(quantised(model.coef_[0]))
        return learned

    def sums(self, learned, index):
        columns = []
        for channel, part in enumerate(self.parts):
            values, scale = learned[channel == FORM]
            columns.append(scale * (part[index] @ values.astype(numpy.float32)))
        return numpy.stack(columns, 1)


def quantised(weights):
    scale = float(numpy.quantile(numpy.abs(weights[weights != 0]), 0.9995)) / 127
    return numpy.clip(numpy.round(weights / scale), -127, 127).astype(numpy.int8), scale


def weights_of(rows, shared):
    weights = numpy.ones(len(rows), numpy.float32)
    for number, (_, source, kind, _, malicious) in enumerate(rows):
        for word, weight in WEIGHTS[malicious].items():
            if word in source and (kind != "host" or not malicious):
                weights[number] *= weight
        if kind == "host":
            weights[number] *= HOST_ONLY_WEIGHT
        if kind == "domain" and malicious:
            weights[number] *= DOMAIN_LIST_WEIGHT
        if shared[number]:
            weights[number] = SHARED_HOST_WEIGHT if malicious else min(weights[number], 1.0)
    return weights


def flat(tree, out):
    """A tree of LightGBM as our nodes: every child after its parent, a value at each."""
    at = len(out)
    out.append(None)
    if "leaf_value" in tree and "split_feature" not in tree:
        out[at] = (0, 0, 0, 0.0, tree["leaf_value"])
        return at
    assert tree["decision_type"] == "<="
    left = flat(tree["left_child"], out)
    right = flat(tree["right_child"], out)
    out[at] = (tree["split_feature"], left, right, tree["threshold"], tree["internal_value"])
    return at


def curve(benign):
    """Points (raw score, score) so that the shares of SCALE hold; the rare end follows the slope of the less rare."""
    ordered = numpy.sort(benign)[::-1]
    shares = numpy.array([0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.004, 0.003, 0.002])
    slope, start = numpy.polyfit(numpy.log(shares), [ordered[int(len(ordered) * share)] for share in shares], 1)
    at = lambda share: slope * numpy.log(share) + start if share < 0.03 else ordered[int(len(ordered) * share)]
    points = [(float(ordered[-1]) - 1.0, 0.0)] + [(float(at(share)), score) for share, score in SCALE]
    return points + [(points[-1][0] + 1.5, 0.96), (points[-1][0] + 6.0, 0.999)]


def write(path, learned, names, trees, points):
    scales = [learned[channel == FORM][1] for channel in range(CHANNELS)]
    out = bytearray(b"GLM2") + struct.pack(f"<{CHANNELS}f", *scales)
    for values, _ in learned:
        out += struct.pack("<I", len(values)) + values.tobytes()
    out += struct.pack("<II", len(names), len(trees))
    for nodes in trees:
        out += struct.pack("<I", len(nodes))
        for feature, left, right, threshold, value in nodes:
            out += struct.pack("<HHHff", feature, left, right, threshold, value)
    out += struct.pack("<fI", 0.0, len(points)) + b"".join(struct.pack("<ff", *point) for point in points)
    with open(path, "wb") as handle:
        handle.write(out)


def benign_of(rows, scores):
    """Scores of the benign full links that were held out."""
    return numpy.array([s for row, s in zip(rows, scores) if not row[4] and row[2] == "full" and not never(row[1]) and s == s])


def report(rows, scores):
    benign = numpy.sort(benign_of(rows, scores))[::-1]
    limits = [benign[int(len(benign) * share)] for share in (0.01, 0.001)]
    groups = collections.defaultdict(list)
    for n in range(len(rows)):
        if rows[n][4] and rows[n][2] == "full" and scores[n] == scores[n]:
            groups[rows[n][1]].append(scores[n])
            groups["= ALL"].append(scores[n])
            if not never(rows[n][1]):
                groups["= ALL learnable"].append(scores[n])
    print(f"not seen: {len(benign)} benign full links; recall at 1 % and 0.1 % false positives, without the rules", flush=True)
    for name, found in sorted(groups.items()):
        print(f"  {name:40} {len(found):6}  " + "  ".join(f"{100 * numpy.mean(numpy.array(found) > limit):6.2f}%" for limit in limits))


def boost(features, labels, weights, chosen, names, trees):
    data = lightgbm.Dataset(features[chosen], labels[chosen], weight=weights[chosen], feature_name=names)
    # Shallow trees: a link passes all of them within a few microseconds.
    settings = dict(objective="binary", num_leaves=31, max_depth=6, learning_rate=0.08, min_data_in_leaf=40, feature_fraction=0.5,
                    bagging_fraction=0.8, bagging_freq=1, lambda_l2=5, boost_from_average=False, verbose=-1, num_threads=1, seed=1, deterministic=True)
    return lightgbm.train(settings, data, trees)


def trees_of(booster):
    trees = []
    for tree in booster.dump_model()["tree_info"]:
        nodes = []
        flat(tree["tree_structure"], nodes)
        trees.append(nodes)
    return trees


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rules", default="rules")
    parser.add_argument("--out", default="rules/links/model.bin")
    parser.add_argument("--features", default="target/release/examples/link_features")
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--measured", type=int, default=FOLDS, help="parts to hold out in turn")
    parser.add_argument("--looked-at", help="keep what the product's code says of the links here, and read it if it is there")
    parser.add_argument("--held-out", help="also write the weights that have not seen the held-out domains")
    args = parser.parse_args()
    rows = read(args.data)
    names, counts, channels, hashes, features = look(args.features, args.rules, [row[0] for row in rows], args.looked_at)
    grams = Grams(counts, channels, hashes)
    labels = numpy.array([row[4] for row in rows])
    folds = numpy.array([int(hashlib.md5(row[3].encode()).hexdigest()[:6], 16) % FOLDS for row in rows])
    usable = numpy.array([not never(row[1]) and not any(word in row[1] for word in LEFT_OUT) for row in rows])
    weights = weights_of(rows, features[:, names.index("shared")] > 0)
    print(f"{usable.sum()} links to learn from, {labels[usable].sum()} of them malicious", flush=True)

    def learn(training):
        """Trees, and the regression whose sums they take; and what they make of every link outside of `training`."""
        parts = sorted(set(folds[training]))
        row = features.copy()
        sums = numpy.zeros((len(rows), CHANNELS), numpy.float32)
        for half in (parts[: len(parts) // 2], parts[len(parts) // 2 :]):
            learner = grams.learn(numpy.where(training & ~numpy.isin(folds, half))[0], labels, weights)
            unseen = numpy.where(training & numpy.isin(folds, half))[0]
            sums[unseen] = grams.sums(learner, unseen)
        learner = grams.learn(numpy.where(training)[0], labels, weights)
        rest = numpy.where(~training)[0]
        sums[rest] = grams.sums(learner, rest)
        row[:, :CHANNELS] = sums
        row[:, CHANNELS] = sums[:, :FORM].sum(1)
        booster = boost(row, labels, weights, training, names, args.trees)
        return learner, booster, booster.predict(row[rest], raw_score=True), rest

    scores = numpy.full(len(rows), numpy.nan)
    for fold in range(args.measured):
        learner, booster, raw, rest = learn(usable & (folds != fold))
        unseen = folds[rest] == fold
        scores[rest[unseen]] = raw[unseen]
        if fold == 0 and args.held_out:
            trees, points = trees_of(booster), curve(benign_of(rows, scores))
            write(args.held_out, learner, names, trees, points)
        print(f"part {fold + 1} measured", flush=True)
    points = curve(benign_of(rows, scores))
    report(rows, scores)
    learner, booster, *_ = learn(usable)
    write(args.out, learner, names, trees_of(booster), points)
    print("scale:", " ".join(f"{raw:.2f}={score}" for raw, score in points))
    print(f"{args.out}: {os.path.getsize(args.out)} bytes")
    gains = sorted(zip(booster.feature_importance("gain"), names), reverse=True)
    print("most used:", " ".join(f"{name} {100 * gain / sum(g for g, _ in gains):.1f}%" for gain, name in gains[:12]))


if __name__ == "__main__":
    main()
