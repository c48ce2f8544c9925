#!/usr/bin/env python3
"""Learns the weights of the text score, says how well they do on what they have not seen, writes rules/texts/scams.model.

    python3 -m venv venv && venv/bin/pip install -r training/links/requirements.txt
    cargo build --release -p guarita-inspect --example text_words
    venv/bin/python training/texts/train.py DATA [--out rules/texts/scams.model] [--rules rules] [--words target/release/examples/text_words]

DATA holds malicious.tsv and benign.tsv (text, lang, source, category; `\\n` escaped). The templates beside this script are
messages written for it, a line each; `{a|b}` stands for either. What the scorer sees in a text comes from the product's own
code (the example `text_words`), so that training and use cannot drift apart.

Measured by cross-validation: rows are grouped, a group lies in one part whole, and each of `--folds` parts is judged, rules and
scorer together as they ship, by weights that have not seen it. One group are: all lines of one script (a script's category), all
variants of a template, and all rows that share one of four sampled runs of five words (forwards, re-wordings, padded copies). Held-out
rows are judged as they are; for training the address that is glued to every synthetic scam and to no ordinary row is taken out.
The bias is set from the held-out scores: `--chats` of the public chats reach 0.5. Then the same is learned from all rows; that is what
ships. The same input gives the same weights.

What may be learned from stands in TRAINED, every other source is only measured; see MODEL.md beside the weights.
"""
import argparse
import collections
import hashlib
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile

import numpy
import scipy.sparse
from sklearn.linear_model import LogisticRegression

# Source prefix -> weight of its rows. Rows written by hand as regression checks stay out so that they go on checking something.
# Mishra-Soni is left out: its labels and texts are shifted against each other.
TRAINED = {
    "multilingual-deception-bench pt-br seed": 2.0,
    "multilingual-deception-bench en-us seed": 1.0,
    "multilingual-deception-bench synthetic": 1.0,
    "UCI SMS Spam Collection": 0.25,
    "thyarles/unb-pca-spamdetector": 0.25,
    "PolyAI BANKING77": 1.0,
    "PolyAI restaurant8k": 0.3,
    "chatterbot-corpus": 1.0,
    "FakeWhatsApp.Br": 1.0,
    "Debian fortunes": 0.3,
}
HERE = os.path.dirname(os.path.abspath(__file__))
BITS = 18
SIGNAL_SCALE = 0.25
STRENGTH = 20.0
# The templates' variants share one weight, for they say the same thing.
SCAM_TEMPLATE, BENIGN_TEMPLATE, VARIANTS_MAX = 1.5, 3.0, 12
LONG, LONG_WEIGHT = 700, 0.7
GLUED = "[MALICIOUS_URL]"


class Row:
    def __init__(self, text, malicious, weight, name, group):
        self.text, self.malicious, self.weight, self.name, self.group = text, malicious, weight, name, group


def number_of(text):
    return int(hashlib.md5(text.encode()).hexdigest()[:8], 16)


def cells(path):
    with open(path, encoding="utf-8", errors="replace") as handle:
        names = handle.readline().rstrip("\n").split("\t")
        for line in handle:
            values = line.rstrip("\n").split("\t")
            if len(values) == len(names):
                yield dict(zip(names, values))


def read_data(folder):
    rows = []
    for side in ("malicious", "benign"):
        for cell in cells(f"{folder}/{side}.tsv"):
            weight = next((w for prefix, w in TRAINED.items() if cell["source"].startswith(prefix)), 0.0)
            # The Portuguese ones are the seeds once more, with words and an address glued on.
            if "synthetic" in cell["source"] and cell["lang"] == "pt" and cell["source"].startswith("multilingual"):
                weight = 0.0
            name = re.sub(r"^multilingual-deception-bench (\S+) seed.*", r"seeds \1", cell["source"])[:40]
            script = f"{name} {cell['category']}" if cell["category"].startswith("seed-") else None
            rows.append(Row(cell["text"], side == "malicious", weight, f"{side} {cell['lang']} {name}", script))
    group(rows)
    return rows


def group(rows):
    """Joins rows that share a script or a sampled run of words."""
    parent = list(range(len(rows)))

    def root(at):
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first = {}
    for at, row in enumerate(rows):
        words = re.findall(r"\w+", row.text.replace(GLUED, " ").lower())
        runs = [" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))]
        keys = [f"{salt} {min(runs, key=lambda run: number_of(f'{salt}{run}'))}" for salt in range(4)]
        for key in keys + ([row.group] if row.group else []):
            parent[root(at)] = root(first.setdefault(key, at))
    for at, row in enumerate(rows):
        row.group = f"data {root(at)}"


def expand(template, rng):
    while True:
        fresh = re.sub(r"\{([^{}]*)\}", lambda m: rng.choice(m.group(1).split("|")), template)
        if fresh == template:
            return re.sub(r"\s+", " ", fresh).strip()
        template = fresh


def read_templates():
    rng, rows = random.Random(7), []
    for name, malicious in (("benign", False), ("scams", True)):
        share = SCAM_TEMPLATE if malicious else BENIGN_TEMPLATE
        for number, line in enumerate(open(f"{HERE}/{name}.txt", encoding="utf-8")):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            variants = sorted({expand(line, rng) for _ in range(min(VARIANTS_MAX, 1 + 2 * line.count("{")))})
            for text in variants:
                # Ordinary messages carry links, too.
                text += " https://exemplo.com.br/leia" if not malicious and rng.random() < 0.3 else ""
                side = "malicious" if malicious else "benign"
                rows.append(Row(text, malicious, share / len(variants) + 0.3, f"{side} templates", f"{name} {number}"))
    # Forwards are long: several ordinary messages one after the other are an ordinary message, too. They are never measured,
    # for they are made of templates of every part.
    pool = [row for row in rows if not row.malicious]
    for _ in range(LONG):
        chosen = rng.sample(pool, rng.choice((2, 3, 4, 6, 9, 14)))
        # Each long text goes with the part of one of its pieces, and is made of pieces of that part alone.
        chosen = [row for row in chosen if part(row.group) == part(chosen[0].group)]
        rows.append(Row(" ".join(row.text for row in chosen), False, LONG_WEIGHT, "benign long templates", chosen[0].group))
    return rows


FOLDS = 5


def part(group_name):
    return number_of(f"part {group_name}") % FOLDS


def run(program, rules, texts, *more):
    given = "\n".join(text.replace("\n", "\\n") for text in texts) + "\n"
    out = subprocess.run([program, rules, *more], input=given, capture_output=True, text=True, check=True).stdout
    return out.split("\n")[: len(texts)]


def features(args, rows):
    """Sparse rows: features of words weigh 1/sqrt(their number), the others SIGNAL_SCALE, as in the product."""
    at, columns, values = [], [], []
    for number, line in enumerate(run(args.words, args.rules, [row.text.replace(GLUED, " ") for row in rows])):
        for block, scale in zip(line.split("\t"), (None, SIGNAL_SCALE)):
            hashes = [int(feature.partition(":")[2]) for feature in block.split()]
            at += [number] * len(hashes)
            columns += [(value ^ (value >> 32)) & ((1 << BITS) - 1) for value in hashes]
            values += [scale or max(1, len(hashes)) ** -0.5] * len(hashes)
    matrix = scipy.sparse.csr_matrix((values, (at, columns)), shape=(len(rows), 1 << BITS))
    matrix.sum_duplicates()
    return matrix


def learn(matrix, labels, weights, chosen):
    chosen = numpy.where(chosen & (weights > 0) & (numpy.diff(matrix.indptr) > 0))[0]
    weighed = weights[chosen].copy()
    bad = labels[chosen]
    balance = (weighed[~bad].sum() / weighed[bad].sum()) ** 0.5
    weighed *= numpy.where(bad, balance, 1 / balance)
    model = LogisticRegression(solver="liblinear", C=STRENGTH, tol=1e-3, max_iter=300)
    model.fit(matrix[chosen], bad, sample_weight=weighed)
    # The heaviest weights are of features that nearly every text has: they must not be clipped.
    scale = float(numpy.abs(model.coef_[0]).max()) / 127
    return numpy.round(model.coef_[0] / scale), scale, float(model.intercept_[0])


def raw(model, matrix):
    values, scale, bias = model
    return scale * (matrix @ values) + bias


def write(path, model, shift):
    values, scale, bias = model
    with open(path, "wb") as handle:
        handle.write(b"GTXT" + struct.pack("<IIff", 1, BITS, scale, bias - shift) + values.astype(numpy.int8).tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rules", default="rules")
    parser.add_argument("--words", default="target/release/examples/text_words")
    parser.add_argument("--chats", type=float, default=0.008, help="share of the public chats that may reach 0.5")
    parser.add_argument("--out")
    parser.add_argument("--judged", help="write every held-out row with its score and what spoke here")
    args = parser.parse_args()
    rows = read_data(args.data) + read_templates()
    matrix = features(args, rows)
    labels = numpy.array([row.malicious for row in rows])
    weights = numpy.array([row.weight for row in rows])
    parts = numpy.array([part(row.group) for row in rows])
    print(f"{(weights > 0).sum()} rows to learn from, {labels[weights > 0].sum()} of them scams, in {len({row.group for row in rows})} groups", flush=True)
    models = [learn(matrix, labels, weights, parts != fold) for fold in range(FOLDS)]
    scores = numpy.zeros(len(rows))
    for fold, model in enumerate(models):
        scores[parts == fold] = raw(model, matrix[parts == fold])
    chats = numpy.sort([score for row, score in zip(rows, scores) if "FakeWhatsApp" in row.name])[::-1]
    shift = float(chats[int(len(chats) * args.chats)])
    print(f"bias moved by {-shift:.2f}", flush=True)
    judged = [None] * len(rows)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(f"{args.rules}/texts", f"{folder}/texts")
        for fold, model in enumerate(models):
            write(f"{folder}/texts/scams.model", model, shift)
            held = numpy.where(parts == fold)[0]
            for at, line in zip(held, run(args.words, folder, [rows[at].text for at in held], "--judge")):
                judged[at] = line.split("\t")
    report(rows, scores - shift, judged)
    if args.judged:
        with open(args.judged, "w", encoding="utf-8") as handle:
            for row, score, (flag, _, spoken) in sorted(zip(rows, scores - shift, judged), key=lambda three: three[1]):
                handle.write(f"{flag}\t{score:.2f}\t{spoken}\t{row.name}\t{row.group}\t{row.text}\n")
    if args.out:
        write(args.out, learn(matrix, labels, weights, numpy.ones(len(rows), bool)), shift)
        print(f"{args.out}: {os.path.getsize(args.out)} bytes")


def report(rows, scores, judged):
    groups = collections.defaultdict(list)
    for row, score, (flag, *_) in zip(rows, scores, judged):
        groups[row.name].append((flag == "1", score >= 0))
    print(f"{'not seen, by source':60} {'rows':>6} {'rules and scorer':>17} {'scorer alone':>13}")
    for name, found in sorted(groups.items()):
        share = [100 * numpy.mean([hit[which] for hit in found]) for which in (0, 1)]
        print(f"{name:60} {len(found):6} {share[0]:16.2f}% {share[1]:12.2f}%")


if __name__ == "__main__":
    main()
